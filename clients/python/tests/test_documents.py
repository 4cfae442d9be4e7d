"""The programs that the documents print, taken from there and run."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import unittest

from board import BINARY, CLIENT, ROOT, Board, wait_for


def blocks(document):
    """(language, text) of each block."""
    text = (ROOT / document).read_text("utf-8")
    return re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", text)


def programs(document):
    """Programs by the names that their second lines say, and their tables."""
    found = {}
    for _, text in blocks(document):
        named = re.match(r"#!.*\n# ([\w.]+)[: ]", text)
        if named:
            found[named[1]] = text
    return found, "\n".join(text for language, text in blocks(document) if language == "toml")


class WritingAnAgent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs, tables = programs("docs/writing-an-agent.md")
        cls.board = Board({}, tables)
        for name, text in cls.programs.items():
            cls.board.write(name, text)

    @classmethod
    def tearDownClass(cls):
        cls.board.end()

    def test_none_is_forgotten(self):
        self.assertEqual(sorted(self.programs), ["ask.sh", "count.py", "critic.sh", "shout.sh"])

    def done(self, agent, **more):
        task = self.board.add("标题", agent=agent, description="one two three", **{"review": "none", **more})
        self.board.until(task, "done")
        closed = lambda: all(a["outcome"] for a in self.board.task(task)["attempts"])
        wait_for("its attempts to be closed", closed)
        task = self.board.task(task)
        self.assertEqual({a["outcome"] for a in task["attempts"]}, {"completed"})
        (output,) = task["outputs"]
        path = f"/api/projects/default/tasks/{task['task_id']}/outputs/{output['output_id']}/content"
        return self.board.call("GET", path)[1].decode()

    def test_a_script_that_knows_nothing(self):
        self.assertRegex(self.done("shout"), "(?s)[A-Z]{3}")

    def test_ten_lines_of_bash(self):
        self.assertIn("one two three", self.done("ask"))
        for language, text in blocks("docs/writing-an-agent.md"):
            if language == "sh":
                self.board.mozi(*shlex.split(text)[1:])

    def test_python_and_nothing_but_http(self):
        self.assertEqual(self.done("count"), "3")

    def test_a_reviewer(self):
        self.assertIn("three", self.done("ask", review="critic"))
        task = self.board.add("Sent back", agent="count", description="x", review="critic", max_attempts=1)
        events = lambda: [e for e in self.board.task(task)["events"] if e["event_type"] == "review_given"]
        given = wait_for("the review", events)
        self.assertEqual((given[0]["detail"]["verdict"], given[0]["detail"]["remark"]), ("reject", '"three" is missing'))
        self.board.call("POST", f"/api/projects/default/tasks/{task}/status", {"status": "cancelled"})


class Migration(unittest.TestCase):
    def setUp(self):
        self.programs, _ = programs("docs/migration.md")
        work = "mozi report working\nmozi output add --title T --content x\nmozi report review\n"
        held = 'until [ -e "$TEST_DIR/go" ]; do sleep 0.05; done\n' + work
        self.board = Board({"developer": work, "held": held})
        self.addCleanup(self.board.end)
        self.board.mozi("project", "add", "app")
        for name, text in self.programs.items():
            self.board.write(name, text)

    def start(self, *command):
        bin_dir = self.board.dir / "bin"
        if not bin_dir.exists():
            bin_dir.mkdir()
            (bin_dir / "mozi").symlink_to(BINARY)
        env = {**self.board.env, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.board.dir, stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
            env={**env, "PYTHONPATH": str(CLIENT), "PYTHONIOENCODING": "utf-8"}, stdout=subprocess.PIPE,
        )

    def said(self, *command):
        process = self.start(*command)
        said, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        return said

    def test_both_languages_print_the_same_programs_and_commands(self):
        there, here = blocks("docs/migration.zh-CN.md"), blocks("docs/migration.md")
        bare = lambda text: [line.split(" #")[0].rstrip() for line in text.splitlines() if not line.startswith("# ")]
        self.assertEqual([(k, bare(t)) for k, t in there], [(k, bare(t)) for k, t in here])

    def test_the_old_database_is_read(self):
        old = sqlite3.connect(self.board.dir / "old.db")
        old.execute(
            "CREATE TABLE tasks (project_id TEXT, task_id TEXT, title TEXT, description TEXT, task_type TEXT,"
            " priority INTEGER, must_haves TEXT, agent TEXT, status TEXT)"
        )
        rows = [
            ("app", "t-1", "写一篇文章", None, "document", 3, "一千字\n\n有“图”", "开发者", "pending"),
            ("app", "t 2", "Underway", "x\ny", "general", 5, "", "held", "working"),
            ("app", "t-3", "Done", "", "general", 5, None, "held", "done"),
            ("other", "t-4", "Somewhere else", "", "general", 5, None, "held", "pending"),
        ]
        old.executemany("INSERT INTO tasks VALUES (?,?,?,?,?,?,?,?,?)", rows)
        old.commit()
        old.close()
        self.board.write("tasks.jsonl", self.said("old_tasks.py", "old.db", "app"))
        self.board.mozi("-p", "app", "task", "import", "tasks.jsonl", "--dry-run")
        for _ in range(2):
            self.board.mozi("-p", "app", "task", "import", "tasks.jsonl")
        items = self.board.get("/api/projects/app/tasks")["items"]
        self.assertEqual({t["task_id"] for t in items}, {"t-1", "t-2"})
        first = self.board.get("/api/projects/app/tasks/t-1")
        self.assertEqual(
            [first[k] for k in ("title", "description", "task_type", "priority", "must_haves", "agent", "metadata")],
            ["写一篇文章", None, "document", 3, ["一千字", "有“图”"], "developer", {"old_status": "pending"}],
        )
        second = self.board.get("/api/projects/app/tasks/t-2")
        self.assertEqual((second["status"], second["description"]), ("blocked", "x\ny"))

    def test_a_daemons_loop_and_its_restart(self):
        self.board.mozi("project", "set", "app", "dispatch=manual")
        for agent in ["held"] * 3 + ["developer"] * 2:
            self.board.mozi("-p", "app", "task", "add", "标题", "-a", agent)
        active = lambda: len(self.board.get("/api/sessions?active=true")["items"])
        first = self.start("daemon.py")
        try:
            # Three slots are held for good, so both others went through the fourth.
            self.assertEqual([first.stdout.readline() for _ in range(2)], ["developer completed\n"] * 2)
            wait_for("three that are held", lambda: active() == 3)
            owed = lambda: len(json.loads((self.board.dir / "owed.json").read_text())["sessions"])
            wait_for("three that are owed", lambda: owed() == 3)
        finally:
            first.kill()
            first.communicate()
        second = self.start("daemon.py")
        (self.board.dir / "go").touch()
        said, _ = second.communicate(timeout=60)
        self.assertEqual((second.returncode, said), (0, "held completed\n" * 3))

    def test_a_shadow_becomes_a_board(self):
        work = "mozi report working\nmozi output add --title T --content x\nmozi report review\n"
        board = Board({"developer": work}, serve=("--dry-run",))
        self.addCleanup(board.end)
        lines = [{"title": f"任务 {n}", "task_id": str(n), "agent": "developer", "held": n == 3} for n in range(1, 4)]
        board.write("tasks.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        board.mozi("task", "import", "tasks.jsonl")
        for n in "12":
            shadowed = board.until(n, "blocked")
            self.assertEqual([a["outcome"] for a in shadowed["attempts"]], ["dry_run"])
            self.assertEqual(shadowed["outputs"], [])
            self.assertIn(f"任务 {n}", board.mozi("task", "prompt", n))
        board.down()
        board.arguments = ()
        board.up()
        board.mozi("task", "release", "1", "2")
        for n in "12":
            self.assertEqual(len(board.until(n, "review")["attempts"]), 2)
        self.assertEqual((board.task("3")["status"], board.task("3")["attempts"]), ("blocked", []))

    def test_the_clients_own_page(self):
        page, _ = programs("clients/python/README.md")
        self.board.write("start.py", page["start.py"].replace('"coder"', '"developer"'))
        self.board.settings(dispatch="manual")
        task = self.board.add("标题", task_id="1")
        self.assertEqual(self.said("start.py"), "runs: developer\ndeveloper completed\n")
        self.assertEqual(self.board.task(task)["status"], "review")


if __name__ == "__main__":
    unittest.main()
