"""The programs that the documents print, taken from there and run."""

import re
import shlex
import unittest

from board import ROOT, Board, wait_for


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


if __name__ == "__main__":
    unittest.main()
