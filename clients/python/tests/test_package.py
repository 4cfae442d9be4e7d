"""The wheel: made, installed into an environment of its own, used from there."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import venv
from pathlib import Path

from board import CLIENT, ROOT, clean_env

import mozi_spawner
from test_bootstrap import BUILDERS, KNOWN


def run(*command, **more):
    done = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        env=clean_env(), timeout=600, **more,
    )
    return done.returncode, done.stdout


class Package(unittest.TestCase):
    def skip(self, why):
        print(f"skipped: {self.id().rpartition('.')[2]}: {why}", file=sys.stderr)
        self.skipTest(why)

    def test_its_version_is_that_of_the_board(self):
        manifest = (ROOT / "Cargo.toml").read_text("utf-8")
        named = re.search(r'(?m)^version = "([^"]+)"', manifest)
        self.assertEqual(mozi_spawner.__version__, named and named[1])

    def test_the_wheel_installs_imports_and_runs(self):
        with tempfile.TemporaryDirectory(prefix="mozi-py-") as folder:
            home = Path(folder)
            venv.create(home / "venv", with_pip=True)
            python = home / "venv" / "bin" / "python"
            status, said = run(python, "-m", "pip", "wheel", "--no-deps", "-q", "-w", home / "dist", CLIENT)
            if status != 0:
                if os.environ.get("MOZI_REQUIRE_WHEEL"):
                    self.fail(said)
                self.skip(f"no wheel can be made here (no registry with hatchling?): {said.strip()[-300:]}")
            (wheel,) = (home / "dist").glob("*.whl")
            self.assertEqual(wheel.name, f"mozi_spawner-{mozi_spawner.__version__}-py3-none-any.whl")
            status, said = run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel)
            self.assertEqual(status, 0, said)
            look = "import mozi_spawner, pathlib; p = pathlib.Path(mozi_spawner.__file__); print(mozi_spawner.__version__, p.parent.name, sorted(x.name for x in p.parent.iterdir() if x.is_file()))"
            status, said = run(python, "-W", "error", "-c", look, cwd=home)
            files = "['__init__.py', 'bootstrap.py', 'py.typed']"
            self.assertEqual((status, said.strip()), (0, f"{mozi_spawner.__version__} mozi_spawner {files}"))
            (home / "house.py").write_text(BUILDERS.replace('        print("not a part of the prompt")\n', ""), "utf-8")
            status, said = run(
                python, "-W", "error", "-m", "mozi_spawner.bootstrap", "house:Builder",
                cwd=home, input=json.dumps(KNOWN),
            )
            self.assertEqual((status, said), (0, "executor|标题|一\n二|zh-CN"))

    def test_it_is_typed(self):
        status, said = run(sys.executable, "-m", "mypy", "--version")
        if status != 0:
            self.skip("mypy is not at hand, so nothing is said about types")
        with tempfile.TemporaryDirectory(prefix="mozi-py-") as cache:
            status, said = run(
                sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, "mozi_spawner.py", "package/bootstrap.py",
                cwd=CLIENT,
            )
        self.assertEqual(status, 0, said)


if __name__ == "__main__":
    unittest.main()
