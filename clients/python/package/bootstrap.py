"""`python -m mozi_spawner.bootstrap MODULE:CLASS`."""

import sys

from mozi_spawner import main

if __name__ == "__main__":
    sys.exit(main())
