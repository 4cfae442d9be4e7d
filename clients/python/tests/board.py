"""A real `mozi serve` in a temporary folder, with agents that are bash scripts."""

import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[1]
ROOT = CLIENT.parents[1]
PATIENCE = 60.0
MARKS = ("MOZI_", "OPENCLAW_", "CLAUDE", "CODEX_", "GEMINI_", "OPENCODE", "CURSOR_")

sys.path.insert(0, str(CLIENT))


def binary():
    named = os.environ.get("MOZI_BIN")
    path = Path(named) if named else Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "mozi"
    if not path.is_file():
        raise RuntimeError(f"{path} is not there: `cargo build -p mozi` makes it, or MOZI_BIN names another")
    return path.resolve()


def clean_env(**more):
    """The environment without what an outer agent or an outer Mozi has left in it."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(MARKS) and not k.lower().endswith("_proxy") and k != "PYTHONPATH"
    }
    return {**kept, **more}


BINARY = binary()
logging.getLogger("asyncio").setLevel(logging.ERROR)
logging.getLogger("mozi_spawner").addHandler(logging.NullHandler())
# What the tests themselves run in is cleaned too: the client looks at it.
for name in [k for k in os.environ if k.startswith(MARKS)]:
    del os.environ[name]


def wait_for(what, look):
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.01)


class Board:
    """`agents` are names with bash scripts, or with (script, more lines of the agent's table)."""

    def __init__(self, agents, more="", serve=()):
        self.arguments = serve
        self.dir = Path(tempfile.mkdtemp(prefix="mozi-py-"))
        self.mark = f"mozi-py-{os.getpid()}-{self.dir.name}"
        config = "[runner]\nmax_sessions = 32\n\n"
        for name, script in agents.items():
            script, lines = script if isinstance(script, tuple) else (script, "")
            command = f'command = ["bash", "{{config_dir}}/{name}.sh"]\n' if "command =" not in lines else ""
            config += f'[agents.{name}]\nruntime = "command"\n{command}{lines}\n\n'
            self.write(f"{name}.sh", script)
            (self.dir / f"{name}.sh").chmod(0o755)
        self.write("mozi.toml", config + more)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = clean_env(
            MOZI_CONFIG=str(self.dir / "mozi.toml"),
            MOZI_DATA=str(self.dir / "data"),
            HOME=str(self.dir),
            LANG="C.UTF-8",
            TEST_DIR=str(self.dir),
            TEST_MARK=self.mark,
        )
        self.serve = None
        self.up()

    def write(self, name, text):
        (self.dir / name).write_text(text, "utf-8")

    def up(self):
        with open(self.dir / "serve.log", "ab") as log:
            self.serve = subprocess.Popen(
                [str(BINARY), "serve", "--listen", f"127.0.0.1:{self.port}", *self.arguments],
                env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

        def ready():
            if self.serve.poll() is not None:
                raise AssertionError(f"mozi serve ended with {self.serve.returncode}:\n{self.log()}")
            try:
                return any(r["online"] for r in self.get("/api/runners")["items"])
            except OSError:
                return False

        wait_for("mozi serve to be ready", ready)

    def down(self, sig=signal.SIGTERM):
        self.serve.send_signal(sig)
        self.serve.wait(PATIENCE)
        self.serve = None

    @property
    def token(self):
        return (self.dir / "data" / "token").read_text("utf-8").strip()

    def log(self):
        return (self.dir / "serve.log").read_text("utf-8", "replace")

    def call(self, method, path, body=None, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
        finally:
            connection.close()

    def get(self, path):
        status, body = self.call("GET", path)
        assert status == 200, (path, status, body)
        return body

    def post(self, path, body):
        status, answer = self.call("POST", path, body)
        assert status < 300, (path, status, answer)
        return answer

    def settings(self, **settings):
        status, answer = self.call("PATCH", "/api/projects/default", {"settings": settings})
        assert status == 200, answer

    def add(self, title, **more):
        return self.post("/api/projects/default/tasks", {"title": title, **more})["task_id"]

    def task(self, task_id):
        return self.get(f"/api/projects/default/tasks/{task_id}?expand=all")

    def until(self, task_id, status):
        try:
            return wait_for(f"task {task_id} to be {status}", lambda: self._if(task_id, status))
        except AssertionError as e:
            raise AssertionError(f"{e}\n{json.dumps(self.task(task_id), indent=1)}\n{self.log()}") from None

    def _if(self, task_id, status):
        task = self.task(task_id)
        return task if task["status"] == status else None

    def mozi(self, *arguments):
        done = subprocess.run(
            [str(BINARY), *arguments], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", timeout=PATIENCE,
        )
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def file(self, name):
        """A file that a script writes, once its last line is whole."""

        def look():
            try:
                text = (self.dir / name).read_text("utf-8")
            except FileNotFoundError:
                return None
            return text if text.endswith("\n") else None

        return wait_for(f"the file {name}", look)

    def left(self):
        """Processes that were started under this board."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if self.mark.encode() in (entry / "environ").read_bytes():
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ")[:200]
                except OSError:
                    pass
        return found

    def end(self):
        """Stops everything; fails if something outlives that."""
        try:
            if self.serve is not None:
                for session in self.get("/api/sessions?active=true&limit=500")["items"]:
                    self.call("POST", f"/api/sessions/{session['session_id']}/stop", {})
                wait_for("all sessions to end", lambda: not self.get("/api/sessions?active=true")["items"])
                self.down()
            wait_for("all processes to end", lambda: not self.left())
        finally:
            for pid in self.left():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.dir, ignore_errors=True)
