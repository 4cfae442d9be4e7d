"""The spawner against the real binary."""

import asyncio
import datetime as dt
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

from board import CLIENT, Board, wait_for

import mozi_spawner
from mozi_spawner import AgentSpawner, BoardUnreachable, MoziError, SpawnError

WORK = """
mozi report working
mozi output add --title Result --content "$MOZI_TASK"
mozi report review
"""
AGENTS = {
    "worker": WORK,
    "held": 'cat > /dev/null; until [ -e "$TEST_DIR/go" ]; do sleep 0.05; done\n' + WORK,
    "reader": 'cat > "$TEST_DIR/prompt.tmp"; echo >> "$TEST_DIR/prompt.tmp"; mv "$TEST_DIR/prompt.tmp" "$TEST_DIR/prompt.txt"\n',
    "failing": "cat > /dev/null; exit 3\n",
    "missing": ("", 'command = ["no-such-program-anywhere"]'),
    "broken": ("#!/no/such/interpreter\n", 'command = ["{config_dir}/broken.sh"]'),
}


class Ends:
    """Callbacks that came, and a way to wait for them."""

    def __init__(self):
        self.all = []
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self.threads = set()

    def sync(self, agent, outcome):
        self.all.append((agent, outcome))
        self.threads.add(threading.current_thread())
        self._loop.call_soon_threadsafe(self._more.set)

    async def awaited(self, agent, outcome):
        await asyncio.sleep(0)
        self.sync(agent, outcome)

    async def until(self, count):
        async def enough():
            while len(self.all) < count:
                await self._more.wait()
                self._more.clear()

        await asyncio.wait_for(enough(), 60)
        return self.all


class OnABoard(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.board = Board(AGENTS)
        cls.board.settings(dispatch="manual")

    @classmethod
    def tearDownClass(cls):
        cls.board.end()

    def spawner(self, **more):
        return AgentSpawner(self.board.url, self.board.token, **more)

    def tearDown(self):
        (self.board.dir / "go").unlink(missing_ok=True)
        left = [t for t in threading.enumerate() if t.name.startswith("mozi-spawner")]
        self.assertEqual(left, [], "threads are left")

    def go(self):
        (self.board.dir / "go").touch()

    async def test_a_task_by_name_with_both_kinds_of_callback(self):
        ends = Ends()
        async with self.spawner() as spawner:
            for callback in (ends.sync, ends.awaited):
                task = self.board.add("Something", agent="worker")
                session = await spawner.spawn_full_agent("worker", None, task_id=task, on_complete=callback)
                shown = spawner.get_session(session)
                self.assertEqual((shown["agent_id"], shown.task_id, shown["attempt_number"]), ("worker", task, 1))
                self.board.until(task, "review")
            self.assertEqual(await ends.until(2), [("worker", "completed")] * 2)
            self.assertEqual(ends.threads, {threading.main_thread()})

    async def test_a_session_without_a_task_gets_the_message_as_its_whole_prompt(self):
        ends = Ends()
        message = "# 请看一下\n\n“引号”、$HOME、`x` 🚀"
        async with self.spawner() as spawner:
            session = await spawner.spawn_full_agent("reader", message, on_complete=ends.sync)
            self.assertEqual(await ends.until(1), [("reader", "completed")])
            self.assertEqual(self.board.file("prompt.txt"), message + "\n")
            shown = spawner.get_session(session)
            self.assertEqual((shown.status, shown.task_id, shown.active), ("completed", None, False))
            self.assertTrue(spawner.cleanup_session(session))
            gone = lambda: spawner.get_session(session) is None
            wait_for("the session to be cleaned up", gone)
            self.assertFalse(spawner.cleanup_session(session))

    async def test_active_sessions_and_their_end(self):
        ends = Ends()
        async with self.spawner() as spawner:
            task = self.board.add("Held", agent="held")
            session = await spawner.spawn_full_agent("held", None, task_id=task, on_complete=ends.sync)
            self.assertEqual(spawner.active_sessions[session].agent_id, "held")
            with self.assertRaises(MoziError) as refused:
                spawner.cleanup_session(session)
            self.assertEqual(refused.exception.code, "session_active")
            self.go()
            await ends.until(1)
            self.assertNotIn(session, spawner.active_sessions)

    async def test_what_cannot_be_started_raises_and_calls_nobody_back(self):
        ends = Ends()
        async with self.spawner() as spawner:
            task = self.board.add("For nobody")
            with self.assertRaises(SpawnError) as unknown:
                await spawner.spawn_full_agent("nobody", None, task_id=task, on_complete=ends.sync)
            self.assertEqual(unknown.exception.code, "not_claimable")
            self.assertIn("nobody", str(unknown.exception))
            self.assertTrue(unknown.exception.waiting_for)
            with self.assertRaises(SpawnError) as gone:
                await spawner.spawn_full_agent("worker", None, task_id="no-such-task", on_complete=ends.sync)
            self.assertEqual((gone.exception.code, gone.exception.status), ("not_found", 404))
            with self.assertRaises(SpawnError) as empty:
                await spawner.spawn_full_agent("worker", "", on_complete=ends.sync)
            self.assertIn("message", str(empty.exception))
            self.assertEqual(ends.all, [])
            # It goes on working.
            task = self.board.add("Fine")
            await spawner.spawn_full_agent("worker", None, task_id=task, on_complete=ends.sync)
            self.assertEqual(await ends.until(1), [("worker", "completed")])

    async def test_a_crash_is_told_as_one(self):
        ends = Ends()
        async with self.spawner(on_complete=ends.sync) as spawner:
            task = self.board.add("Fails")
            await spawner.spawn_full_agent("failing", None, task_id=task)
            self.assertEqual(await ends.until(1), [("failing", "crashed")])

    async def test_a_callback_that_fails_harms_nothing(self):
        ends = Ends()

        def fails(agent, outcome):
            raise RuntimeError("callback gone wrong")

        async def fails_later(agent, outcome):
            await asyncio.sleep(0)
            raise RuntimeError("callback gone wrong")

        async with self.spawner() as spawner:
            with self.assertLogs("mozi_spawner", logging.ERROR) as logged:
                for callback in (fails, fails_later, ends.sync):
                    await spawner.spawn_full_agent("reader", "Hello", on_complete=callback)
                await ends.until(1)
                await asyncio.to_thread(wait_for, "both to be logged", lambda: len(logged.records) >= 2)
            self.assertIn("callback gone wrong", "".join(logged.output))

    async def test_twenty_at_once(self):
        ends = Ends()
        async with self.spawner(on_complete=ends.awaited) as spawner:
            tasks = [self.board.add(f"Task {n}") for n in range(20)]
            sessions = await asyncio.gather(*(spawner.spawn_full_agent("worker", None, task_id=t) for t in tasks))
            self.assertEqual(len(set(sessions)), 20)
            self.assertEqual(await ends.until(20), [("worker", "completed")] * 20)
            for task in tasks:
                self.assertEqual(len(self.board.until(task, "review")["attempts"]), 1)

    async def test_a_message_stands_in_the_tasks_prompt(self):
        ends = Ends()
        async with self.spawner(on_complete=ends.sync) as spawner:
            task = self.board.add("读一读", description="正文", must_haves=["条件"])
            message = spawner.build_spawn_message(task)
            for word in ("读一读", "正文", "条件", "working", "review", "openapi.json"):
                self.assertIn(word, message)
            await spawner.spawn_full_agent("reader", message + "\n\n另外：快一点", task_id=task)
            await ends.until(1)
            prompt = self.board.file("prompt.txt")
            self.assertIn("另外：快一点", prompt)
            self.assertEqual(prompt.count("读一读"), 1, prompt)
            self.assertNotIn("mozi_a_****", prompt)

    async def test_a_bootstrap_builder_comes_first_and_may_fail(self):
        class Builder:
            def build(self, task, role, project_config):
                return f"{role}: {task['title']} ({task.must_haves}) in {project_config['project_id']}"

        task = self.board.add("Paint it", must_haves=["green", "round"])
        async with self.spawner(bootstrap_builder=Builder()) as spawner:
            message = spawner.build_spawn_message({"task_id": task})
            self.assertTrue(message.startswith("executor: Paint it (green\nround) in default\n\n#"), message[:200])
            self.assertIn("Step 1", message)
            ends = Ends()
            await spawner.spawn_full_agent("reader", message, task_id=task, on_complete=ends.sync)
            await ends.until(1)
            prompt = self.board.file("prompt.txt")
            self.assertIn("executor: Paint it", prompt)
            self.assertEqual(prompt.count("Step 1"), 1)

        def broken(task):
            raise KeyError("colour")

        async with self.spawner(bootstrap_builder=broken) as spawner:
            with self.assertLogs("mozi_spawner", logging.ERROR):
                self.assertTrue(spawner.build_spawn_message(task).startswith("# Task"))

    async def test_a_subagent_is_an_agent_that_was_named(self):
        ends = Ends()
        async with self.spawner() as spawner:
            with self.assertRaisesRegex(SpawnError, "subagent_agent"):
                await spawner.spawn_subagent("Look it up")
        async with self.spawner(subagent_agent="reader") as spawner:
            session = await spawner.spawn_subagent("查一查", on_complete=ends.sync)
            await ends.until(1)
            self.assertEqual(spawner.get_session(session).agent_id, "reader")
            self.assertEqual(self.board.file("prompt.txt"), "查一查\n")

    async def test_a_dry_run_registers_and_starts_nothing(self):
        ends = Ends()
        before = self.board.get("/api/sessions?limit=500")["items"]
        async with self.spawner(dry_run=True, on_complete=ends.sync) as spawner:
            session = await spawner.spawn_full_agent("worker", "Hello", task_id="7")
            self.assertEqual(await ends.until(1), [("worker", "dry_run")])
            shown = spawner.get_session(session)
            self.assertEqual((shown.agent_id, shown.task_id, shown.pid, shown.status), ("worker", "7", None, "dry_run"))
            self.assertEqual(spawner.active_sessions, {})
            self.assertTrue(spawner.cleanup_session(session))
            self.assertIsNone(spawner.get_session(session))
        self.assertEqual(self.board.get("/api/sessions?limit=500")["items"], before)

    async def test_whoever_cancels_the_call_is_told_of_the_end_all_the_same(self):
        ends = Ends()
        async with self.spawner() as spawner:
            task = self.board.add("Held", agent="held")
            started = asyncio.Event()
            order = spawner._order

            def slow(*arguments):
                loop.call_soon_threadsafe(started.set)
                order(*arguments)

            loop = asyncio.get_running_loop()
            spawner._order = slow
            call = asyncio.ensure_future(
                spawner.spawn_full_agent("held", None, task_id=task, on_complete=ends.sync)
            )
            await started.wait()
            call.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await call
            self.go()
            self.assertEqual(await ends.until(1), [("held", "completed")])

    async def test_a_callback_that_has_begun_is_not_cut_short(self):
        begun, ended = asyncio.Event(), []

        async def slow(agent, outcome):
            begun.set()
            await asyncio.sleep(0.2)
            ended.append(outcome)

        async with self.spawner() as spawner:
            await spawner.spawn_full_agent("reader", "Hello", on_complete=slow)
            await asyncio.wait_for(begun.wait(), 60)
        self.assertEqual(ended, ["completed"])
        with self.assertRaisesRegex(RuntimeError, "closed"):
            await spawner.spawn_full_agent("reader", "Hello")

    async def test_a_lost_answer_starts_nothing_twice(self):
        ends = Ends()
        async with self.spawner(on_complete=ends.sync) as spawner:
            once, asked = spawner._board._once, []

            def lossy(method, path, body, headers):
                answer = once(method, path, body, headers)
                if method == "POST":
                    asked.append(answer["session_id"])
                    if len(asked) == 1:
                        raise ConnectionResetError("the answer is lost")
                return answer

            spawner._board._once = lossy
            before = {s["session_id"] for s in self.board.get("/api/sessions?limit=500")["items"]}
            session = await spawner.spawn_full_agent("reader", "Once")
            await ends.until(1)
            self.assertEqual(asked, [session, session])
            after = {s["session_id"] for s in self.board.get("/api/sessions?limit=500")["items"]}
            self.assertEqual(after - before, {session})

    async def test_a_token_for_one_project_hears_of_its_tasks(self):
        self.board.call("POST", "/api/projects", {"project_id": "scoped", "settings": {"dispatch": "manual"}})
        made = {"name": "scoped", "role": "operator", "project_id": "scoped"}
        status, token = self.board.call("POST", "/api/tokens", made)
        self.assertEqual(status, 201, token)
        task = self.board.post("/api/projects/scoped/tasks", {"title": "Scoped"})["task_id"]
        ends = Ends()
        async with AgentSpawner(self.board.url, token["token"], project="scoped", on_complete=ends.sync) as spawner:
            await spawner.spawn_full_agent("worker", None, task_id=task)
            self.assertEqual(await ends.until(1), [("worker", "completed")])

    async def test_a_token_for_nothing_is_named(self):
        async with AgentSpawner(self.board.url, "mozi_u_wrong") as spawner:
            with self.assertRaises(SpawnError) as refused:
                await spawner.spawn_full_agent("worker", "Hello")
            self.assertEqual((refused.exception.code, refused.exception.status), ("unauthenticated", 401))

    def test_where_the_board_is_and_whose_token_goes_there(self):
        data = self.board.dir / "data"
        other = "http://127.0.0.1:9"

        def where(url=None, token=None, **env):
            with mock.patch.dict(os.environ, {"HOME": "/nonexistent", "XDG_DATA_HOME": "", **env}):
                return mozi_spawner._Board(url, token, 0)._where()

        own = (self.board.url, self.board.token)
        self.assertEqual(where(MOZI_DATA=str(data)), own)
        self.assertEqual(where(self.board.url.replace("127.0.0.1", "localhost") + "/", MOZI_DATA=str(data))[1], own[1])
        with tempfile.TemporaryDirectory() as home:
            os.symlink(data, os.path.join(home, "mozi"))
            self.assertEqual(where(XDG_DATA_HOME=home), own)
        # The local board's own token goes to the local board and nowhere else.
        self.assertEqual(where(other, MOZI_DATA=str(data)), (other, None))
        self.assertEqual(where(MOZI_DATA=str(data), MOZI_URL=other), (other, None))
        self.assertEqual(where(MOZI_DATA=str(data), MOZI_TOKEN="mine"), (self.board.url, "mine"))
        self.assertEqual(where(other, "given", MOZI_DATA=str(data), MOZI_TOKEN="mine"), (other, "given"))
        with self.assertRaisesRegex(BoardUnreachable, "mozi serve"):
            where()

    async def test_a_board_that_is_not_there_is_named_with_the_way_out(self):
        async with AgentSpawner("http://127.0.0.1:9", "mozi_u_x", patience=0.2) as spawner:
            with self.assertRaisesRegex(BoardUnreachable, "mozi serve"):
                await spawner.spawn_full_agent("worker", "Hello")
            with self.assertRaisesRegex(BoardUnreachable, "127.0.0.1:9"):
                spawner.get_session("x")

    def test_several_loops_one_after_the_other_and_none_at_all(self):
        told = []
        more = threading.Event()

        def callback(agent, outcome):
            told.append(outcome)
            more.set()

        async def later(agent, outcome):
            callback(agent, outcome)

        spawner = self.spawner()
        try:
            for n, on_complete in enumerate((callback, later), 1):
                # Its loop is closed long before the agent ends.
                task = self.board.add("Held", agent="held")
                asyncio.run(spawner.spawn_full_agent("held", None, task_id=task, on_complete=on_complete))
                self.go()
                wait_for("the callback", lambda: len(told) == n)
                (self.board.dir / "go").unlink()
            self.assertEqual(told, ["completed"] * 2)
        finally:
            spawner.close()

    async def test_the_reader_ends_when_nobody_waits(self):
        ends = Ends()
        async with self.spawner() as spawner:
            await spawner.spawn_full_agent("reader", "Hello", on_complete=ends.sync)
            await ends.until(1)
            await asyncio.to_thread(wait_for, "the reader to end", lambda: spawner._reader is None)
            await spawner.spawn_full_agent("reader", "Hello again", on_complete=ends.sync)
            self.assertEqual(len(await ends.until(2)), 2)


class AcrossRestarts(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.board = Board(AGENTS)
        self.board.settings(dispatch="manual")

    def tearDown(self):
        self.board.end()

    def go(self):
        (self.board.dir / "go").touch()

    async def test_serve_is_killed_and_started_anew_in_the_middle(self):
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync, patience=30) as spawner:
            tasks = [self.board.add("Held"), self.board.add("Held too")]
            first = await spawner.spawn_full_agent("held", None, task_id=tasks[0])
            pid = spawner.get_session(first).pid
            self.board.down(signal.SIGKILL)
            # Asked for while the board is away: it is waited for.
            asked = asyncio.ensure_future(spawner.spawn_full_agent("held", None, task_id=tasks[1]))
            await asyncio.to_thread(self.board.up)
            await asked
            self.assertEqual(spawner.get_session(first).pid, pid)
            self.go()
            self.assertEqual(await ends.until(2), [("held", "completed")] * 2)
            self.assertEqual(len(self.board.until(tasks[1], "review")["attempts"]), 1)

    async def test_an_end_while_serve_is_away_is_told_afterwards(self):
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
            await spawner.spawn_full_agent("reader", "first")
            await ends.until(1)
            task = self.board.add("Held")
            session = await spawner.spawn_full_agent("held", None, task_id=task)
            self.board.down()
            self.go()
            supervisor = self.board.dir / "data" / "sessions" / session / "exit.json"
            await asyncio.to_thread(wait_for, "the agent to end", supervisor.exists)
            await asyncio.to_thread(self.board.up)
            self.assertEqual((await ends.until(2))[1], ("held", "completed"))

    CALLER = """
import asyncio, sys
from mozi_spawner import AgentSpawner
async def main():
    spawner = AgentSpawner(on_complete=lambda a, o: print("told", a, o, flush=True), state_file="state.json")
    for task in sys.argv[1:]:
        await spawner.spawn_full_agent("held" if task != "quick" else "reader", "x", task_id=None if task == "quick" else task)
    print("ready", spawner.cursor, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""

    def caller(self, *tasks):
        """A program that spawns and is killed."""
        process = subprocess.Popen(
            [sys.executable, "-c", self.CALLER, *tasks], cwd=self.board.dir, stdout=subprocess.PIPE, text=True,
            env={**self.board.env, "PYTHONPATH": str(CLIENT)},
        )
        try:
            while True:
                line = process.stdout.readline()
                self.assertTrue(line, "the caller ended")
                if line.startswith("ready"):
                    return line.split()[1]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    async def test_a_caller_that_was_killed_is_told_what_it_was_owed(self):
        tasks = [self.board.add("Held"), self.board.add("Held too"), self.board.add("Somebody else's")]
        self.caller(*tasks[:2])
        state = self.board.dir / "state.json"
        self.assertEqual(len(json.loads(state.read_text())["sessions"]), 2)
        other = self.board.post("/api/sessions", {"agent": "held", "project_id": "default", "task_id": tasks[2]})
        self.board.post(f"/api/projects/default/tasks/{tasks[0]}/status", {"status": "cancelled"})
        wait_for("the first to end", lambda: len(self.board.get("/api/sessions?active=true")["items"]) == 2)
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.awaited, state_file=state) as spawner:
            resumed = await spawner.resume_callbacks()
            self.assertEqual({s.task_id: s.active for s in resumed}, {tasks[0]: False, tasks[1]: True})
            self.assertEqual(await ends.until(1), [("held", "cancelled")])
            self.go()
            self.assertEqual(await ends.until(2), [("held", "cancelled"), ("held", "completed")])
            await asyncio.to_thread(wait_for, "the other to end", lambda: not spawner.get_session(other["session_id"]).active)
        self.assertEqual(len(ends.all), 2, "what somebody else started is nobody's callback here")
        self.assertEqual(json.loads(state.read_text())["sessions"], {})
        # What was told is not told again.
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.awaited, state_file=state) as spawner:
            self.assertEqual(await spawner.resume_callbacks(), [])
        self.assertEqual(len(ends.all), 2)

    async def test_what_ended_since_a_place_or_a_time_is_told(self):
        began = dt.datetime.now(dt.timezone.utc)
        tasks = [self.board.add("Held"), self.board.add("Held too")]
        cursor = self.caller(*tasks)
        (self.board.dir / "state.json").unlink()
        self.board.post(f"/api/projects/default/tasks/{tasks[0]}/status", {"status": "cancelled"})
        alone = self.board.post("/api/sessions", {"agent": "reader", "message": "x", "prompt": "verbatim"})["session_id"]
        ended = lambda: self.board.get(f"/api/sessions/{alone}")["status"] == "completed"
        wait_for("a session without a task to end", ended)
        wait_for("the first to end", lambda: len(self.board.get("/api/sessions?active=true")["items"]) == 1)
        for since in (cursor, began, began.astimezone(dt.timezone(dt.timedelta(hours=8)))):
            ends = Ends()
            async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
                resumed = await spawner.resume_callbacks(since)
                self.assertEqual({s.task_id: s.active for s in resumed}, {tasks[0]: False, tasks[1]: True, None: False})
                for session in resumed:
                    self.assertEqual(spawner.get_session(session.session_id).task_id, session.task_id)
                self.assertEqual(sorted(await ends.until(2)), [("held", "cancelled"), ("reader", "completed")])
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
            # What it has started itself is told once, and keeps nothing else from being told.
            await spawner.spawn_full_agent("reader", "y")
            await ends.until(1)
            await spawner.resume_callbacks(began)
            await ends.until(3)
            self.assertEqual(sorted(ends.all), [("held", "cancelled")] + [("reader", "completed")] * 2)
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
            await spawner.resume_callbacks(dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1))
            self.go()
            self.assertEqual(await ends.until(1), [("held", "completed")])
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
            with self.assertRaises(TypeError):
                await spawner.resume_callbacks(7)
        async with AgentSpawner(self.board.url, self.board.token) as spawner:
            with self.assertRaisesRegex(ValueError, "on_complete"):
                await spawner.resume_callbacks()

    async def test_a_program_that_cannot_start_raises_with_the_reason(self):
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync) as spawner:
            task = self.board.add("For a program that is not there")
            with self.assertRaises(SpawnError) as held_back:
                await spawner.spawn_full_agent("missing", None, task_id=task)
            self.assertIn("no-such-program-anywhere", str(held_back.exception))
            self.assertEqual((held_back.exception.code, held_back.exception.session_id), ("not_claimable", None))
            # This one is there, and cannot be started all the same.
            for of_task in (task, None):
                with self.assertRaises(SpawnError) as failed:
                    await spawner.spawn_full_agent("broken", "x", task_id=of_task)
                self.assertEqual(failed.exception.code, "spawn_failed", str(failed.exception))
                self.assertRegex(str(failed.exception), "No such file")
                self.assertEqual(spawner.get_session(failed.exception.session_id).status, "spawn_failed")
            self.assertEqual([a["outcome"] for a in self.board.task(task)["attempts"]], ["spawn_failed"])
            self.assertEqual(ends.all, [])

    async def test_what_the_board_has_forgotten_is_told_as_unknown(self):
        task = self.board.add("Held")
        self.caller(task, "quick")
        state = self.board.dir / "state.json"
        owed = json.loads(state.read_text())["sessions"]
        self.go()
        self.board.until(task, "review")
        wait_for("all to end", lambda: not self.board.get("/api/sessions?active=true")["items"])
        for session in owed:
            self.board.call("DELETE", f"/api/sessions/{session}")
            wait_for("it to be cleaned up", lambda: self.board.call("GET", f"/api/sessions/{session}")[0] == 404)
        ends = Ends()
        async with AgentSpawner(self.board.url, self.board.token, on_complete=ends.sync, state_file=state) as spawner:
            self.assertEqual({s.session_id for s in await spawner.resume_callbacks()}, set(owed))
            # An attempt stays when its session goes.
            told = {("held", "completed")} | ({("reader", "unknown")} if len(owed) == 2 else set())
            self.assertEqual(set(await ends.until(len(owed))), told)

    async def test_the_daemon_that_frees_slots_by_callbacks(self):
        """The loop of a daemon: so many agents at once, the next one when a slot is free."""
        self.go()
        slots, most, done = 2, 0, []
        pending = [self.board.add(f"Task {n}") for n in range(7)]
        freed = asyncio.Event()
        running = set()

        async with AgentSpawner(self.board.url, self.board.token) as spawner:
            async def run(task):
                def on_complete(agent, outcome):
                    running.discard(task)
                    done.append((agent, outcome))
                    freed.set()

                running.add(task)
                message = spawner.build_spawn_message(task)
                await spawner.spawn_full_agent("worker", message, task_id=task, on_complete=on_complete)

            while pending or running:
                freed.clear()
                while pending and len(running) < slots:
                    await run(pending.pop(0))
                    most = max(most, len(running))
                if running:
                    await asyncio.wait_for(freed.wait(), 60)
        self.assertEqual(done, [("worker", "completed")] * 7)
        self.assertLessEqual(most, slots)


if __name__ == "__main__":
    unittest.main()
