# What a person's shell has, as far as the documents need it. The board runs already.

mozi() {
  local word limit=30 code=0 patience=
  case "${1-}" in
    serve) return 0 ;;
    up) set -- "$@" --detach ;;
    init)
      env -u MOZI_CONFIG -u MOZI_DATA HOME="$(mktemp -d -p "$TEST_DIR")" "$MOZI" "$@"
      return ;;
  esac
  for word in "$@"; do
    case "$word" in
      -f | --follow | --watch) limit=2 patience=over ;;
    esac
  done
  timeout -k 1 "$limit" "$MOZI" "$@" || code=$?
  # A person ends what follows for ever; what a person is asked for is no failure.
  if [ "$code" = 124 ] && [ -n "$patience" ]; then return 0; fi
  if [ "$code" = 5 ]; then return 0; fi
  return "$code"
}

# What follows is about a board of its own, which does not run yet.
own_board() {
  MOZI_DATA="$(mktemp -d -p "$TEST_DIR")"
  MOZI_CONFIG="$MOZI_DATA.toml"
  export MOZI_DATA MOZI_CONFIG
  printf '[server]\nlisten = "127.0.0.1:0"\n' > "$MOZI_CONFIG"
}

# Lets there be so many tasks, all held.
seed() {
  local n
  for n in $(seq 1 "$1"); do
    "$MOZI" task show "$n" > /dev/null 2>&1 || "$MOZI" task add "Task $n" --id "$n" --hold -q > /dev/null
  done
}

# What follows is typed by an agent, at a task of its own.
as_agent() {
  rm -f "$TEST_DIR/agent.env"
  "$MOZI" task add "To be typed" -a puppet -q > /dev/null
  until [ -e "$TEST_DIR/agent.env" ]; do sleep 0.05; done
  set -a
  . "$TEST_DIR/agent.env"
  set +a
}

# Run elsewhere: by the scripts of continuous integration, or only where there is such a thing.
cargo() { :; }
scripts/test() { :; }
scripts/test-agents() { :; }
scripts/bench() { :; }
sudo() { :; }
systemctl() { :; }
journalctl() { :; }
loginctl() { :; }
pip() { :; }
cd() { if [ -d "${1-}" ]; then builtin cd "$1"; fi; }
