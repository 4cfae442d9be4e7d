#!/usr/bin/env python3
"""A model for tests with real agent programs: it does what Mozi's prompt says.

One server speaks three wire formats on the loopback interface: Anthropic Messages (Claude Code), OpenAI Responses
(Codex) and OpenAI Chat Completions (OpenClaw). It holds no state: what to answer is worked out from the request,
so any number of agents can share it.

It reads the prompt as a model would: it looks for the ```bash blocks that report `working`, add an output and report
`review` (or decide on a result, for a reviewer), and runs them in this order through the agent's shell tool. Lines of
the task's text change that:

    MOCK-RUN: COMMAND        the work: run between `working` and the output; may stand several times
    MOCK-END: WORD           what to report at the end: review (default), failed, approve, reject, or nothing
    MOCK-NO-OUTPUT:          leave the output out
    MOCK-ERROR: 400          answer every request with this HTTP status
    MOCK-ERROR-AFTER: N 500  the same, once N commands are done
    MOCK-HANG:               never answer
    MOCK-DELAY: SECONDS      wait before each answer

usage: mock_model.py [--port N] [--port-file PATH] [--log PATH]     GET /healthz answers 200
"""
import argparse, json, re, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIRECTIVE = re.compile(r"^[\s>]*MOCK-(RUN|END|NO-OUTPUT|ERROR|ERROR-AFTER|HANG|DELAY):[ \t]*(.*?)\s*$", re.M)
BLOCK = re.compile(r"^(`{3,})(?:bash|sh)\n(.*?)^\1\s*$", re.M | re.S)
SHELLS = ("bash", "exec_command", "shell_command", "shell", "local_shell", "exec", "run_shell_command")
INTERNAL = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"


def reports(status):
    words = {"done": "approve", "pending": "reject"}
    return re.compile(r'"status"\s*:\s*"%s"|mozi\S*\s+report\s+%s\b' % (status, words.get(status, status)))


def find(blocks, pattern):
    return next((b for b in blocks if pattern.search(b)), None)


def plan(prompt):
    """-> (commands, options) that a prompt of Mozi's asks for; none if it is no such prompt."""
    options, work = {}, []
    for name, value in DIRECTIVE.findall(prompt):
        if name == "RUN":
            work.append(value)
        else:
            options[name] = value
    blocks = [b.strip() for _, b in BLOCK.findall(prompt)]
    end = options.get("END", "review")
    steps = [find(blocks, reports("working")), *work]
    if end == "review" and "NO-OUTPUT" not in options:
        steps.append(find(blocks, re.compile(r"/outputs|mozi\S*\s+output\s+add")))
    if end != "nothing":
        steps.append(find(blocks, reports({"approve": "done", "reject": "pending"}.get(end, end))))
    if not blocks and not options and not work:
        return None
    return [s for s in steps if s], options


def decide(turns, tools):
    """turns: [(role, text, number of tool results)] -> (options, ("say", text) | ("call", tool, arguments))"""
    found, done = None, 0
    for role, text, results in turns:
        if role == "user" and not text.startswith(INTERNAL):
            new = plan(text)
            if new:
                found, done = new, 0
        done += results
    if not found:
        return {}, ("say", "mock")
    commands, options = found
    if "ERROR-AFTER" in options:
        after, status = options["ERROR-AFTER"].split()
        if done >= int(after):
            return {**options, "ERROR": status}, ("say", "")
    lower = {t.lower(): t for t in tools}
    shell = next((lower[s] for s in SHELLS if s in lower), None)
    if done < len(commands) and shell:
        return options, ("call", shell, arguments(tools[shell], commands[done]))
    return options, ("say", f"I ran {done} commands." if shell or not tools else "no shell tool is offered")


def arguments(schema, command):
    """The command in whatever shape this agent's shell tool takes it."""
    props = (schema or {}).get("properties") or {}
    key = next((k for k in ("command", "cmd", "script") if k in props), "command")
    as_list = props.get(key, {}).get("type") == "array"
    args = {key: ["bash", "-lc", command] if as_list else command}
    blanks = {"string": "mock", "boolean": False, "number": 0, "integer": 0, "array": [], "object": {}}
    for k in (schema or {}).get("required", []):
        args.setdefault(k, blanks.get(str(props.get(k, {}).get("type", "string")).lower(), "mock"))
    return args


# ---- the wire formats: (turns, tools) of a request, and (whole answer, [(event, data)]) of an action ---------------

def text_of(content):
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str))


def read_anthropic(body):
    turns = []
    for m in body.get("messages", []):
        c = m.get("content")
        n = sum(1 for b in c if isinstance(b, dict) and b.get("type") == "tool_result") if isinstance(c, list) else 0
        turns.append((m.get("role"), text_of(c), n))
    return turns, {t["name"]: t.get("input_schema", {}) for t in body.get("tools") or [] if "name" in t}


def read_chat(body):
    turns = [("tool", "", 1) if m.get("role") == "tool" else (m.get("role"), text_of(m.get("content")), 0)
             for m in body.get("messages", [])]
    return turns, {t["function"]["name"]: t["function"].get("parameters", {})
                   for t in body.get("tools") or [] if t.get("function")}


def read_responses(body):
    items = body.get("input") or []
    if isinstance(items, str):
        items = [{"type": "message", "role": "user", "content": items}]
    turns = []
    for i in items:
        if str(i.get("type", "")).endswith("_call_output"):
            turns.append(("tool", "", 1))
        elif i.get("type", "message") == "message":
            turns.append((i.get("role"), text_of(i.get("content")), 0))
    return turns, {t["name"]: t.get("parameters") or {} for t in body.get("tools") or [] if t.get("type") == "function"}


USAGE_IN, USAGE_OUT = 100, 10


def write_anthropic(body, action):
    usage = {"input_tokens": USAGE_IN, "output_tokens": USAGE_OUT,
             "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    if action[0] == "say":
        block, delta, stop = {"type": "text", "text": ""}, {"type": "text_delta", "text": action[1]}, "end_turn"
        full = {"type": "text", "text": action[1]}
    else:
        block = {"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:20], "name": action[1], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(action[2])}
        full, stop = {**block, "input": action[2]}, "tool_use"
    message = {"id": "msg_" + uuid.uuid4().hex[:20], "type": "message", "role": "assistant",
               "model": body.get("model", "mock"), "content": [], "stop_reason": None, "stop_sequence": None,
               "usage": {**usage, "output_tokens": 1}}
    events = [("message_start", {"message": message}), ("content_block_start", {"index": 0, "content_block": block}),
              ("content_block_delta", {"index": 0, "delta": delta}), ("content_block_stop", {"index": 0}),
              ("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}),
              ("message_stop", {})]
    return {**message, "content": [full], "stop_reason": stop, "usage": usage}, [(n, {"type": n, **d}) for n, d in events]


def write_chat(body, action):
    usage = {"prompt_tokens": USAGE_IN, "completion_tokens": USAGE_OUT, "total_tokens": USAGE_IN + USAGE_OUT,
             "prompt_tokens_details": {"cached_tokens": 0}}
    if action[0] == "say":
        delta, stop = {"role": "assistant", "content": action[1]}, "stop"
    else:
        delta, stop = {"role": "assistant", "content": None, "tool_calls": [
            {"index": 0, "id": "call_" + uuid.uuid4().hex[:16], "type": "function",
             "function": {"name": action[1], "arguments": json.dumps(action[2])}}]}, "tool_calls"
    base = {"id": "chatcmpl-" + uuid.uuid4().hex[:20], "object": "chat.completion.chunk", "created": int(time.time()),
            "model": body.get("model", "mock")}
    chunks = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
              {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": stop}]},
              {**base, "choices": [], "usage": usage}]
    whole = {**base, "object": "chat.completion", "usage": usage,
             "choices": [{"index": 0, "message": delta, "finish_reason": stop}]}
    return whole, [(None, c) for c in chunks] + [(None, "[DONE]")]


def write_responses(body, action):
    usage = {"input_tokens": USAGE_IN, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": USAGE_OUT,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": USAGE_IN + USAGE_OUT}
    if action[0] == "say":
        item = {"type": "message", "id": "msg_" + uuid.uuid4().hex[:16], "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": action[1], "annotations": []}]}
    else:
        item = {"type": "function_call", "id": "fc_" + uuid.uuid4().hex[:16], "status": "completed",
                "call_id": "call_" + uuid.uuid4().hex[:16], "name": action[1], "arguments": json.dumps(action[2])}
    answer = {"id": "resp_" + uuid.uuid4().hex[:20], "object": "response", "created_at": int(time.time()),
              "status": "completed", "model": body.get("model", "mock"), "output": [item], "usage": usage}
    events = [("response.created", {"response": {**answer, "status": "in_progress", "output": [], "usage": None}}),
              ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress"}}),
              ("response.output_item.done", {"output_index": 0, "item": item}),
              ("response.completed", {"response": answer})]
    return answer, [(n, {"type": n, "sequence_number": i, **d}) for i, (n, d) in enumerate(events)]


FORMATS = [("/messages", read_anthropic, write_anthropic), ("/chat/completions", read_chat, write_chat),
           ("/responses", read_responses, write_responses)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log_path, lock = None, threading.Lock()

    def log_message(self, *_):
        pass

    def note(self, **what):
        if self.log_path:
            with Handler.lock, open(self.log_path, "a") as f:
                f.write(json.dumps({"t": round(time.time(), 3), "path": self.path, **what}) + "\n")

    def reply(self, status, obj):
        data = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/healthz":
            return self.reply(200, {"ok": True})
        if path.endswith("/models"):
            return self.reply(200, {"object": "list", "data": [{"id": "mock-1", "object": "model", "owned_by": "mock"}], "models": []})
        self.reply(404, {"error": {"message": "no such path", "type": "not_found_error"}})

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            raw = b""
            while n := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                raw += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            import gzip
            raw = gzip.decompress(raw)
        return json.loads(raw or b"{}")

    def do_POST(self):
        path = self.path.split("?")[0]
        try:
            body = self.body()
        except ValueError:
            return self.reply(400, {"error": {"message": "not JSON (%s)" % self.headers.get("content-encoding")}})
        if path.endswith("/count_tokens"):
            return self.reply(200, {"input_tokens": USAGE_IN})
        found = next((f for f in FORMATS if path.endswith(f[0])), None)
        if not found:
            return self.reply(404, {"error": {"message": "no such path", "type": "not_found_error"}})
        turns, tools = found[1](body)
        options, action = decide(turns, tools)
        self.note(model=body.get("model"), tools=sorted(tools), turns=len(turns), action=action, options=options)
        time.sleep(float(options.get("DELAY") or 0))
        if "HANG" in options:
            time.sleep(3600)
        if options.get("ERROR"):
            status = int(options["ERROR"])
            return self.reply(status, {"type": "error", "error": {"type": "api_error", "code": status, "message": f"mock error {status}"}})
        whole, events = found[2](body, action)
        if not body.get("stream"):
            return self.reply(200, whole)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for name, data in events:
            data = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(((f"event: {name}\n" if name else "") + f"data: {data}\n\n").encode())
        self.wfile.flush()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (BrokenPipeError, ConnectionResetError)):
            super().handle_error(request, client_address)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file")
    ap.add_argument("--log")
    args = ap.parse_args()
    Handler.log_path = args.log
    server = Server(("127.0.0.1", args.port), Handler)
    if args.port_file:
        with open(args.port_file, "w") as f:
            f.write(str(server.server_port))
    print(f"mock model on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
