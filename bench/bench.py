#!/usr/bin/env python3
"""Speed, as ratios: Mozi and what it is held against, side by side in the same rounds.

usage: scripts/bench [GROUP …]      groups: callbacks start tasks memory history paused sse cli (default: all)
Prints one line per figure, then a table for docs/performance.md. Everything runs on 127.0.0.1 and ends by itself.
"""
import json, os, re, shutil, signal, socket, sqlite3, statistics, subprocess, sys, tempfile, threading, time
import http.client

HERE = os.path.dirname(os.path.abspath(__file__))
MOZI, YARD = os.environ["MOZI_BIN"], os.environ["YARDSTICK_BIN"]
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECS = float(os.environ.get("SECS", "2"))
BASE = os.environ.get("PERF_DIR") or tempfile.mkdtemp(prefix="mozi-bench-")
TABLE = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args, env=None, timeout=300):
    out = subprocess.run(args, capture_output=True, text=True, timeout=timeout,
                         env={**os.environ, "PERF_DIR": BASE, **(env or {})})
    if out.returncode != 0:
        sys.exit(f"{args}: {out.stdout}{out.stderr}")
    return out.stdout


def key(text, name):
    found = re.findall(rf"\b{name}=(-?[\d.]+)", text)
    if not found:
        sys.exit(f"no {name}= in: {text}")
    return float(found[-1])


def row(what, ours, theirs, against, wanted, unit, lower_is_better):
    """ours, theirs: one value per round."""
    ratios = [a / b for a, b in zip(ours, theirs) if b]
    ratio = statistics.median(ratios)
    met = ratio <= wanted if lower_is_better else ratio >= wanted
    sign = "≤" if lower_is_better else "≥"
    line = (what, f"{statistics.median(ours):g} {unit}", f"{against} {statistics.median(theirs):g} {unit}",
            f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})", f"{sign} {wanted:g}", "met" if met else "NOT MET")
    TABLE.append(line)
    print(" · ".join(line), flush=True)


def limit(what, value, wanted, unit):
    line = (what, f"{value:g} {unit}", "–", "–", f"≤ {wanted:g} {unit}", "met" if value <= wanted else "NOT MET")
    TABLE.append(line)
    print(" · ".join(line), flush=True)


class Mozi:
    """A board with its runner, in a folder of its own."""

    def __init__(self, folder, config, keep=False):
        self.folder, self.port = folder, free_port()
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "mozi.toml")
        with open(self.config, "w") as f:
            f.write(config)
        self.data = os.path.join(folder, "data")
        self.start()

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MOZI_")}
        self.began = time.monotonic()
        self.log = open(os.path.join(self.folder, "serve.log"), "a")
        self.process = subprocess.Popen(
            [MOZI, "serve", "--data", self.data, "--config", self.config, "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.sendall(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                    if s.recv(64).startswith(b"HTTP/1.1 200"):
                        break
            except OSError:
                pass
            if self.process.poll() is not None:
                sys.exit(open(os.path.join(self.folder, "serve.log")).read())
            time.sleep(0.002)
        self.ready_seconds = time.monotonic() - self.began
        self.token = open(os.path.join(self.data, "token")).read().strip()
        self.local = threading.local()

    def call(self, method, path, body=None, ok=(200, 201)):
        c = getattr(self.local, "c", None)
        # The server closes what has been idle for long.
        if c is None or time.monotonic() - self.local.used > 5:
            c = self.local.c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            c.connect()
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.request(method, path, None if body is None else json.dumps(body),
                  {"authorization": f"Bearer {self.token}", "content-type": "application/json"})
        r = c.getresponse()
        data = r.read()
        self.local.used = time.monotonic()
        if r.status not in ok:
            sys.exit(f"{method} {path}: {r.status} {data.decode()}")
        return json.loads(data) if data else None

    def add(self, agent, **more):
        return self.call("POST", "/api/projects/default/tasks", {"title": "bench", "agent": agent, **more})["task_id"]

    def counts(self):
        return self.call("GET", "/api/projects/default")["counts"]

    def wait_done(self, n, timeout=300):
        end = time.monotonic() + timeout
        while self.counts()["done"] < n:
            if time.monotonic() > end:
                sys.exit(f"only {self.counts()} after {timeout} s")
            time.sleep(0.01)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        self.process.wait()
        self.log.close()
        self.local = threading.local()

    def hold(self, agent="hold"):
        """A live attempt: its task and token."""
        file = os.path.join(self.folder, "held-token")
        task = self.add(agent)
        while not os.path.exists(file) or not open(file).read().endswith("\n"):
            time.sleep(0.005)
        return task, open(file).read().strip()

    def end_sessions(self):
        for s in self.call("GET", "/api/sessions?active=true&limit=500")["items"]:
            self.call("POST", f"/api/sessions/{s['session_id']}/stop", {})
        while self.call("GET", "/api/sessions?active=true")["items"]:
            time.sleep(0.05)


def config(folder, slots=8):
    agent = lambda name, command, more="": f"[agents.{name}]\nruntime = \"command\"\ncommand = {json.dumps(command)}\nprompt_via = \"none\"\n{more}\n"
    exits = 'verdict = "exit"\n'
    return (f"[runner]\nmax_sessions = {slots}\n\n"
            + agent("true", ["/bin/true"], exits) + agent("stamp", [YARD, "stamp", f"{folder}/stamps"], exits)
            + agent("life", [YARD, "life"]) + agent("sleep", ["/bin/sleep", "100000"]) + agent("idle", ["/bin/true"], exits)
            + agent("hold", ["/bin/sh", "-c", f"echo $MOZI_TOKEN > {folder}/held-token; exec sleep 100000"]))


def board(name, slots=8):
    folder = tempfile.mkdtemp(prefix=name + "-", dir=BASE)
    m = Mozi(folder, config(folder, slots))
    m.call("PATCH", "/api/projects/default", {"settings": {"review": "none", "require_output": "never"}})
    return m


class Yard:
    """The thinnest server that could do the job."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([YARD, "serve", str(self.port)], env={**os.environ, "PERF_DIR": BASE})
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()


def load(port, what, clients, env=None, secs=SECS):
    return run(YARD, "load", str(port), what, str(clients), str(secs), env=env)


def comment_env(m, task, token):
    ids = os.path.join(m.folder, "ids")
    with open(ids, "w") as f:
        f.write("\n".join([task] * 10_000))
    return {"LOAD_PATH": "/api/projects/default/tasks/{id}/comments", "LOAD_BODY": '{"author":"hold","body":"still at it"}',
            "LOAD_AUTH": f"authorization: Bearer {token}", "LOAD_IDS": ids}


def callbacks():
    y, m = Yard(), board("callbacks")
    env = comment_env(m, *m.hold())
    got = {k: ([], []) for k in ("rate", "p50", "p99")}
    for _ in range(ROUNDS):
        for side, (port, e) in enumerate(((m.port, env), (y.port, {}))):
            many, one = load(port, "status", 64, e), load(port, "status", 1, e)
            got["rate"][side].append(key(many, "acked_per_s"))
            got["p99"][side].append(key(many, "p99_us"))
            got["p50"][side].append(key(one, "p50_us"))
    row("durable callbacks, 64 clients", *got["rate"], "thinnest server", 0.65, "/s", False)
    row("one callback alone, p50", *got["p50"], "thinnest server", 1.5, "µs", True)
    row("callback, 64 clients, p99", *got["p99"], "thinnest server", 2, "µs", True)
    watchers(m, env)
    m.end_sessions()
    m.stop()
    y.stop()


def watchers(m, env):
    """Callbacks per second while 100 watch the events."""
    alone, watched = [], []
    for _ in range(ROUNDS):
        alone.append(key(load(m.port, "status", 64, env), "acked_per_s"))
        stop, socks = threading.Event(), []
        for _ in range(100):
            s = socket.create_connection(("127.0.0.1", m.port))
            s.sendall(f"GET /api/projects/default/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {m.token}\r\naccept: text/event-stream\r\n\r\n".encode())
            s.setblocking(False)
            socks.append(s)
        drain = subprocess.Popen([sys.executable, "-c", DRAIN, *[str(s.fileno()) for s in socks]], pass_fds=[s.fileno() for s in socks])
        watched.append(key(load(m.port, "status", 64, env), "acked_per_s"))
        drain.kill()
        drain.wait()
        for s in socks:
            s.close()
    row("callbacks while 100 watch", watched, alone, "without watchers", 0.7, "/s", False)


DRAIN = """
import select, socket, sys
fds = [int(a) for a in sys.argv[1:]]
import os
p = select.epoll()
for f in fds: p.register(f, select.EPOLLIN)
while True:
    for f, _ in p.poll():
        try:
            if not os.read(f, 1 << 20): p.unregister(f)
        except BlockingIOError: pass
"""


def start():
    m = board("start")
    ours, p99, floor = [], [], []
    others = {n: [] for n in ("tsp", "pueue") if shutil.which(n)}
    for r in range(ROUNDS):
        sent = {}
        for _ in range(40):
            t = time.time_ns()
            sent[m.add("stamp")] = t
            time.sleep(0.03)
        m.wait_done(len(sent) * (r + 1))
        stamps = dict(l.split() for l in open(f"{m.folder}/stamps"))
        waits = sorted((int(stamps[t]) - at) / 1e3 for t, at in sent.items())
        ours.append(waits[len(waits) // 2])
        p99.append(waits[int((len(waits) - 1) * 0.99)])
        floor.append(key(run(YARD, "spawn", "supervised", "1", "300"), "p50_us"))
        for name in others:
            others[name].append(queue_latency(name))
    row("POST of a task → its agent's first instruction, p50", ours, floor, "bare supervised spawn", 3, "µs", True)
    limit("the same, p99", statistics.median(p99) / 1000, 25, "ms")
    for name, wanted in (("tsp", 2.5), ("pueue", 1 / 30)):
        if name in others:
            row("the same, p50", ours, others[name], {"tsp": "task-spooler"}.get(name, name), wanted, "µs", True)
    m.stop()


def queue_env(name):
    folder = tempfile.mkdtemp(prefix=name, dir=BASE)
    if name == "tsp":
        return folder, {**os.environ, "TS_SOCKET": f"{folder}/s", "TS_SLOTS": "8", "TMPDIR": folder, "TS_MAXFINISHED": "5000"}, None
    os.makedirs(f"{folder}/data"), os.makedirs(f"{folder}/run")
    with open(f"{folder}/pueue.yml", "w") as f:
        f.write(f'shared: {{pueue_directory: "{folder}/data", runtime_directory: "{folder}/run", use_unix_socket: true}}\nclient: {{}}\ndaemon: {{}}\n')
    d = subprocess.Popen(["pueued", "-c", f"{folder}/pueue.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while subprocess.run(["pueue", "-c", f"{folder}/pueue.yml", "status"], capture_output=True).returncode:
        time.sleep(0.05)
    subprocess.run(["pueue", "-c", f"{folder}/pueue.yml", "parallel", "8"], capture_output=True)
    return folder, dict(os.environ), d


def queue_add(name, folder, env, command):
    args = ["tsp", "-n", *command] if name == "tsp" else ["pueue", "-c", f"{folder}/pueue.yml", "add", "--", *command]
    subprocess.run(args, env=env, capture_output=True, check=True)


def queue_end(name, folder, env, daemon):
    if name == "tsp":
        subprocess.run(["tsp", "-K"], env=env, capture_output=True)
    else:
        subprocess.run(["pueue", "-c", f"{folder}/pueue.yml", "shutdown"], capture_output=True)
        daemon.wait()


def queue_wait(name, folder, env):
    while True:
        if name == "tsp":
            out = subprocess.run(["tsp"], env=env, capture_output=True, text=True).stdout
            busy = any(len(l.split()) > 1 and l.split()[1] in ("queued", "running") for l in out.splitlines()[1:])
        else:
            out = json.loads(subprocess.run(["pueue", "-c", f"{folder}/pueue.yml", "status", "--json"], capture_output=True, text=True).stdout)
            busy = any("Done" not in (t["status"] if isinstance(t["status"], dict) else {t["status"]: 0}) for t in out["tasks"].values())
        if not busy:
            return
        time.sleep(0.02)


def queue_latency(name):
    folder, env, daemon = queue_env(name)
    waits = []
    for i in range(20):
        t = time.time_ns()
        queue_add(name, folder, {**env, "MOZI_TASK": str(i)}, ["env", f"MOZI_TASK={i}", YARD, "stamp", f"{folder}/stamps"])
        time.sleep(0.02)
        waits.append((i, t))
    queue_wait(name, folder, env)
    stamps = dict(l.split() for l in open(f"{folder}/stamps"))
    queue_end(name, folder, env, daemon)
    return statistics.median((int(stamps[str(i)]) - t) / 1e3 for i, t in waits)


def many(m, agent, n):
    """n tasks, created over 8 connections: seconds until all are done."""
    before = m.counts()["done"]
    t = time.monotonic()
    threads = [threading.Thread(target=lambda k=k: [m.add(agent) for _ in range(n // 8)]) for k in range(8)]
    [x.start() for x in threads]
    [x.join() for x in threads]
    m.wait_done(before + n // 8 * 8)
    return n // 8 * 8 / (time.monotonic() - t)


def queue_rate(name, n):
    folder, env, daemon = queue_env(name)
    t = time.monotonic()
    for _ in range(n):
        queue_add(name, folder, env, ["/bin/true"])
    queue_wait(name, folder, env)
    rate = n / (time.monotonic() - t)
    queue_end(name, folder, env, daemon)
    return rate


def tasks():
    n = int(os.environ.get("TASKS", "400"))
    m = board("tasks")
    ours, lives, spawn, spooler, old, pueue = [], [], [], [], [], []
    for _ in range(ROUNDS):
        ours.append(many(m, "true", n))
        lives.append(many(m, "life", n))
        spawn.append(key(run(YARD, "spawn", "supervised", "2", "600"), "per_s"))
        old.append(key(run(sys.executable, f"{HERE}/replaced_spawner.py", str(n), "8", "wal-full", "held"), "tasks_per_s"))
        if shutil.which("tsp"):
            spooler.append(queue_rate("tsp", n))
        if shutil.which("pueue"):
            pueue.append(queue_rate("pueue", 60))
    row("tasks per second, agent /bin/true, 8 slots", ours, spawn, "bare supervised spawns", 0.35, "/s", False)
    if spooler:
        row("the same", ours, spooler, "task-spooler", 0.5, "/s", False)
    row("the same", ours, old, "the Python spawner", 0.4, "/s", False)
    if pueue:
        row("the same", ours, pueue, "pueue", 15, "/s", False)
    row("whole lives per second (working, output, review, done)", lives, ours, "tasks per second", 0.5, "/s", False)
    if pueue:
        row("the same", lives, pueue, "pueue add → done", 10, "/s", False)
    m.stop()


def smaps(pid):
    out = run(YARD, "smaps", str(pid))
    return key(out, "rss_kib"), key(out, "pss_kib"), key(out, "private_dirty_kib")


def memory():
    m, y = board("memory", slots=60), Yard()
    row("memory of an idle server (RSS)", [smaps(m.process.pid)[0]], [smaps(y.process.pid)[0]], "thinnest server", 3, "KiB", True)
    y.stop()
    for _ in range(50):
        m.add("sleep")
    while len([s for s in m.call("GET", "/api/sessions?active=true&limit=500")["items"] if s["status"] == "running"]) < 50:
        time.sleep(0.05)
    pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and supervises(p, m.data)]
    each = [smaps(p) for p in pids]
    dirty, pss = (statistics.mean(x[i] for x in each) for i in (2, 1))
    theirs = key(run(YARD, "supmem", "50"), "private_dirty_kib")
    row(f"memory of a supervisor, {len(pids)} of them (private dirty)", [dirty], [theirs], "bare supervisor", 1.5, "KiB", True)
    limit("memory of a supervisor (PSS)", pss, 400, "KiB")
    m.end_sessions()
    m.stop()


def supervises(pid, data):
    try:
        args = open(f"/proc/{pid}/cmdline").read().split("\0")
    except OSError:
        return False
    return len(args) > 2 and args[1] == "supervise" and args[2].startswith(data)


def fill(m, finished, pending=0, agent="idle"):
    """Behind a stopped server: multiplies one finished task, with all that hangs on it."""
    db = sqlite3.connect(f"{m.data}/mozi.db")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA foreign_keys=OFF")
    columns = lambda t: [r[1] for r in db.execute(f"PRAGMA table_info({t})")]
    # The first finished task is the pattern; numbered ids far from those in use.
    pattern = db.execute("SELECT task_id FROM tasks WHERE status='done' ORDER BY rowid LIMIT 1").fetchone()[0]
    last = db.execute("SELECT last_event FROM projects WHERE project_id='default'").fetchone()[0]
    k = db.execute("SELECT count(*) FROM events WHERE task_id=?", (pattern,)).fetchone()[0]

    def copy(table, count, first, change, where):
        cols = [c for c in columns(table) if c not in ("id", "seq")]
        select = ", ".join(change.get(c, c) for c in cols)
        db.execute(f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i+1 FROM n WHERE i < {first + count - 1}) "
                   f"INSERT INTO {table} ({', '.join(cols)}) SELECT {select} FROM n, (SELECT * FROM {table} WHERE {where})")

    ident = "CAST(1000000 + n.i AS TEXT)"
    session = "lower(substr('00000000-0000-4000-8000-' || printf('%012x', n.i), 1, 36))"
    done = f"task_id='{pattern}'"
    copy("tasks", finished, 1, {"task_id": ident, "created_at": "created_at + n.i", "updated_at": "updated_at + n.i"}, done)
    texts = ", ".join(c for c in columns("task_texts") if c != "id")
    db.execute(f"INSERT INTO task_texts (id, {texts}) SELECT t.id, {', '.join('x.' + c for c in texts.split(', '))} FROM tasks t, task_texts x "
               f"WHERE x.id = (SELECT id FROM tasks WHERE {done}) AND t.id NOT IN (SELECT id FROM task_texts)")
    copy("task_attempts", finished, 1, {"task_id": ident, "session_id": session, "token_hash": "NULL"}, done)
    copy("sessions", finished, 1, {"task_id": ident, "session_id": session}, done)
    rank = f"(SELECT count(*) FROM events e WHERE e.task_id='{pattern}' AND e.seq < events.seq)"
    cols = [c for c in columns("events") if c != "seq"]
    select = ", ".join({"task_id": ident, "id": f"{last} + (n.i-1)*{k} + r + 1"}.get(c, c) for c in cols)
    db.execute(f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < {finished}) "
               f"INSERT INTO events ({', '.join(cols)}) SELECT {select} FROM n, (SELECT *, {rank} AS r FROM events WHERE {done})")
    db.execute("UPDATE projects SET last_event = last_event + ?, done = done + ? WHERE project_id='default'", (finished * k, finished))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def figures(m):
    """callback, list of 100, start of a task, claim: what must not grow with history."""
    env = comment_env(m, *m.hold())
    out = {"callback": key(load(m.port, "status", 1, env), "p50_us")}
    get = {"LOAD_AUTH": f"authorization: Bearer {m.token}", "GET_PATH": "/api/projects/default/tasks?limit=100"}
    out["list"] = key(load(m.port, "hello", 1, get), "p50_us")
    stamps = f"{m.folder}/stamps"
    if os.path.exists(stamps):
        os.rename(stamps, stamps + ".old")
    sent, before = {}, m.counts()["done"]
    for _ in range(60):
        t = time.time_ns()
        sent[m.add("stamp")] = t
        time.sleep(0.03)
    m.wait_done(before + len(sent))
    got = dict(l.split() for l in open(stamps))
    out["start"] = statistics.median((int(got[t]) - at) / 1e3 for t, at in sent.items())
    out["rate"] = many(m, "true", 160)
    m.end_sessions()
    os.remove(f"{m.folder}/held-token")
    return out


def aged(name, finished):
    m = board(name)
    m.add("true")
    m.wait_done(1)
    m.stop()
    fill(m, finished)
    m.start()
    return m


def history():
    young, old = aged("young", 1_000), aged("old", int(os.environ.get("HISTORY", "1000000")))
    pairs = {k: ([], []) for k in ("callback", "list", "start", "rate")}
    hello, listed = [], []
    y = Yard()
    limit("memory with a million finished tasks, more than with a thousand",
          (smaps(old.process.pid)[0] - smaps(young.process.pid)[0]) / 1024, 8, "MiB")
    for _ in range(ROUNDS):
        for side, m in enumerate((old, young)):
            for k, v in figures(m).items():
                pairs[k][side].append(v)
        hello.append(key(load(y.port, "hello", 1), "p50_us"))
    listed = pairs["list"][0]
    for k, what in (("callback", "callback behind a million finished tasks, p50"), ("list", "list of 100 behind a million, p50"),
                    ("start", "start behind a million, p50")):
        row(what, *pairs[k], "behind a thousand", 1.3, "µs", True)
    row("tasks per second (claim and all) behind a million", *pairs["rate"], "behind a thousand", 1 / 1.3, "/s", False)
    row("list of 100 out of a million over HTTP, p50", listed, hello, "hello of the thinnest server", 10, "µs", True)
    limit("the same", statistics.median(listed) / 1000, 3, "ms")
    y.stop()
    young.stop()
    restart_pair(old)


def restart_pair(old):
    """Ready after kill -9 with 100 agents at work."""
    old.end_sessions()
    old.stop()
    with open(old.config, "w") as f:
        f.write(config(old.folder, slots=120))
    old.start()
    young = board("restart", slots=120)
    ready = ([], [])
    for m in (old, young):
        for _ in range(100):
            m.add("sleep")
        while len([s for s in m.call("GET", "/api/sessions?active=true&limit=500")["items"] if s["status"] == "running"]) < 100:
            time.sleep(0.05)
    for _ in range(ROUNDS):
        for side, m in enumerate((old, young)):
            pids = sorted(p for p in os.listdir("/proc") if p.isdigit() and supervises(p, m.data))
            m.stop(signal.SIGKILL)
            m.start()
            ready[side].append(m.ready_seconds * 1000)
            now = sorted(p for p in os.listdir("/proc") if p.isdigit() and supervises(p, m.data))
            if pids != now or len(pids) != 100:
                sys.exit(f"not all adopted: {len(pids)} before, {len(now)} after")
    row("ready after kill -9, 100 agents at work, a million tasks", *ready, "with a hundred tasks", 1.5, "ms", True)
    limit("the same", statistics.median(ready[0]) / 1000, 1, "s")
    for m in (old, young):
        m.end_sessions()
        m.stop()


def paused():
    m = board("paused")
    m.add("true")
    m.wait_done(1)
    free, held = [], []
    for _ in range(ROUNDS):
        free.append(many(m, "true", 160))
    m.call("POST", "/api/agents/idle/pause", {})
    threads = [threading.Thread(target=lambda: [m.add("idle") for _ in range(12_500)]) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for _ in range(ROUNDS):
        held.append(many(m, "true", 160))
    row("tasks per second behind 100,000 pending tasks of a paused agent", held, free, "without them", 1 / 1.3, "/s", False)
    m.stop()


def sse():
    m, y = board("sse"), Yard()
    env = comment_env(m, *m.hold())
    ours, theirs = [], []
    for _ in range(ROUNDS):
        watch = {**env, "SSE_PATH": "/api/projects/default/events",
                 "LOAD_AUTH": f"authorization: Bearer {m.token}\r\naccept: text/event-stream"}
        ours.append(key(run(YARD, "sse", str(m.port), "1000", "20", env=watch), "last_p50_us"))
        theirs.append(key(run(YARD, "sse", str(y.port), "1000", "20"), "last_p50_us"))
    row("an event at the last of 1,000 watchers, p50", ours, theirs, "thinnest server", 2, "µs", True)
    m.end_sessions()
    m.stop()
    y.stop()


def process_ms(env, *args):
    """One command from its start to its exit."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(args[0], args, env, file_actions=quiet)
    status = os.waitpid(pid, 0)[1]
    took = (time.perf_counter() - began) * 1000
    if status != 0:
        sys.exit(f"{args}: status {status}")
    return took


def cli():
    """What a person or an agent waits for who types a command, behind a million tasks."""
    m = aged("cli", int(os.environ.get("HISTORY", "1000000")))
    for _ in range(1000):
        m.add("nobody")
    task, token = m.hold()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MOZI_")}
    person = {**clean, "MOZI_DATA": m.data, "MOZI_CONFIG": m.config}
    agent = {**clean, "MOZI_URL": f"http://127.0.0.1:{m.port}", "MOZI_TOKEN": token, "MOZI_PROJECT": "default",
             "MOZI_TASK": task, "MOZI_ATTEMPT": "1",
             "MOZI_OUTBOX": os.path.join(m.folder, "outbox")}
    commands = {
        "mozi version: the start of the program": (person, 5, (MOZI, "version")),
        "mozi task add, start to exit": (person, 20, (MOZI, "task", "add", "bench", "-a", "nobody", "-q")),
        "mozi report, start to exit": (agent, 15, (MOZI, "report", "working")),
        "mozi status behind a million tasks, start to exit": (person, 50, (MOZI, "status")),
        "mozi task list behind a million tasks, start to exit": (person, 50, (MOZI, "task", "list")),
    }
    took = {what: [] for what in commands}
    for _ in range(ROUNDS):
        for what, (env, _, args) in commands.items():
            took[what].append(statistics.median(process_ms(env, *args) for _ in range(20)))
    for what, (_, wanted, _) in commands.items():
        limit(what, round(statistics.median(took[what]), 1), wanted, "ms")
    m.end_sessions()
    m.stop()


def archive():
    """100,000 tasks in and out, as lines and as a whole project, and how long an agent's word waits meanwhile."""
    n = 100_000
    m = board("archive")
    task, token = m.hold()
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("MOZI_")}, "MOZI_DATA": m.data, "MOZI_CONFIG": m.config}
    lines, tar = os.path.join(m.folder, "tasks.jsonl"), os.path.join(m.folder, "lines.mozi.tar")
    with open(lines, "w") as f:
        for i in range(n):
            f.write(json.dumps({"title": f"task number {i}", "task_id": f"t{i}", "description": "some words " * 10, "held": i % 2 == 0}) + "\n")
    worst, spoken, ended = [0.0], [0], threading.Event()

    def speak():
        c = http.client.HTTPConnection("127.0.0.1", m.port, timeout=120)
        while not ended.is_set():
            began = time.perf_counter()
            c.request("POST", f"/api/projects/default/tasks/{task}/comments", json.dumps({"body": "still here"}),
                      {"authorization": f"Bearer {token}", "content-type": "application/json"})
            c.getresponse().read()
            worst[0] = max(worst[0], time.perf_counter() - began)
            spoken[0] += 1
            time.sleep(0.01)

    speaker = threading.Thread(target=speak)
    speaker.start()
    took = {}
    for i in range(ROUNDS):
        m.call("POST", "/api/projects", {"project_id": f"lines{i}"})
        for what, args in {
            "import of 100,000 lines": ("import", lines, "-p", f"lines{i}"),
            "export of 100,000 tasks as lines": ("export", "-p", f"lines{i}", "--tasks-only", "--force", "-o", tar + ".jsonl"),
            "export of a project of 100,000 tasks": ("export", "-p", f"lines{i}", "--force", "-o", tar),
            "import of a project of 100,000 tasks": ("import", tar, "-p", f"whole{i}"),
        }.items():
            worst[0] = 0.0
            ms = process_ms(env, MOZI, "task", *args)
            heard = spoken[0]
            while spoken[0] < heard + 2:  # What waits at its end has waited for it.
                time.sleep(0.01)
            took.setdefault(what, []).append((ms / 1000, worst[0]))
    ended.set()
    speaker.join()
    for what, all_of in took.items():
        limit(what, round(statistics.median(t for t, _ in all_of), 2), n / 20_000, "s")
        limit(f"{what}: the longest wait of a callback", round(max(w for _, w in all_of), 2), 5, "s")
    m.end_sessions()
    m.stop()


GROUPS = {"callbacks": callbacks, "start": start, "tasks": tasks, "memory": memory, "history": history, "paused": paused, "sse": sse, "cli": cli, "archive": archive}

for name in sys.argv[1:] or GROUPS:
    print(f"# {name}", flush=True)
    GROUPS[name]()
print("\n| what | Mozi | against | ratio: median (range) | wanted | |\n|---|---|---|---|---|---|")
for line in TABLE:
    print("| " + " | ".join(line) + " |")
