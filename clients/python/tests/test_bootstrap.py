"""Bootstrap builders, as a project of old has them, and the command that runs one."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from board import CLIENT, Board, clean_env

from mozi_spawner import call_builder

KNOWN = {
    "schema": 1,
    "role": "executor",
    "agent": "coder",
    "attempt_number": 2,
    "message": None,
    "task": {"project_id": "app", "task_id": "7", "title": "标题", "description": None, "task_type": "general",
             "priority": 5, "must_haves": ["一", "二"], "status": "claimed"},
    "project": {"project_id": "app", "name": "App", "language": "zh-CN"},
    "previous": [{"attempt_number": 1, "outcome": "crashed"}],
    "reviews": [],
}

BUILDERS = '''
import sys

class Builder:
    def build(self, task, role, project_config):
        print("not a part of the prompt")
        return f"{role}|{task['title']}|{task.must_haves}|{project_config['language']}"

class Fails:
    def build(self, task):
        raise KeyError("colour")

class Strange:
    def build(self, one, two):
        return "x"

class Nothing:
    def build(self, task):
        return "  "
'''


class OldBuilder:
    def __init__(self, project_config=None):
        self.config = project_config

    def build_bootstrap(self, task_id, title, description="", must_haves="", *, role, retry_context=None):
        return f"{role} {task_id} {title} {description} {must_haves} {self.config['name']}"


class Calling(unittest.TestCase):
    def test_parameters_are_matched_by_name(self):
        self.assertEqual(call_builder(OldBuilder, KNOWN), "executor 7 标题 None 一\n二 App")

    def test_an_object_a_function_and_a_coroutine(self):
        self.assertEqual(call_builder(OldBuilder(KNOWN["project"]), KNOWN), "executor 7 标题 None 一\n二 App")
        self.assertEqual(call_builder(lambda task, previous: f"{task.title} {previous[0]['outcome']}", KNOWN), "标题 crashed")

        async def later(task):
            return task.title

        self.assertEqual(call_builder(later, KNOWN), "标题")

        class Callable:
            def __call__(self, **all_of_it):
                return ",".join(sorted(all_of_it))

        self.assertEqual(call_builder(Callable(), KNOWN), "project_config,role,task")

    def test_other_names_get_task_role_and_configuration_in_order(self):
        self.assertEqual(call_builder(lambda a, b, c: f"{a.title} {b} {c.language}", KNOWN), "标题 executor zh-CN")
        self.assertEqual(call_builder(lambda item: item["title"], KNOWN), "标题")

        class Static:
            @staticmethod
            def build(task, role):
                return f"{task.task_id} {role}"

        self.assertEqual(call_builder(Static, KNOWN), "7 executor")

    def test_what_does_not_fit_says_what_was_tried(self):
        class Strange:
            def build(self, one, two):
                return ""

            def build_prompt(self, task, database):
                return ""

        with self.assertRaises(TypeError) as refused:
            call_builder(Strange, KNOWN)
        for word in ("Strange.build(one, two)", "Strange.build_prompt(task, database)", "database is not known", "project_config"):
            self.assertIn(word, str(refused.exception))

        class Needy:
            def __init__(self, database):
                pass

        with self.assertRaisesRegex(TypeError, "Needy cannot be made.*database"):
            call_builder(Needy, KNOWN)
        with self.assertRaisesRegex(TypeError, "its methods build_bootstrap, build"):
            call_builder(object(), KNOWN)

    def test_what_is_no_text_is_refused(self):
        for made in ("", None, 7):
            with self.assertRaises(ValueError):
                call_builder(lambda task, made=made: made, KNOWN)

    def test_an_error_of_the_builders_own_is_its_own(self):
        def fails(task):
            raise TypeError("of its own")

        with self.assertRaisesRegex(TypeError, "^of its own$"):
            call_builder(fails, KNOWN)


class AsACommand(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="mozi-py-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "house.py").write_text(BUILDERS, "utf-8")

    def run_it(self, *arguments, known=KNOWN, start=("-m", "mozi_spawner.bootstrap"), **env):
        return subprocess.run(
            [sys.executable, *start, *arguments], input=json.dumps(known) if known else "", cwd=self.dir,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
            env=clean_env(LC_ALL="C", **env), timeout=60,
        )

    def test_from_a_file_that_was_copied(self):
        shutil.copy(CLIENT / "mozi_spawner.py", self.dir)
        for start in (("-m", "mozi_spawner.bootstrap"), ("mozi_spawner.py",)):
            done = self.run_it("house:Builder", start=start)
            self.assertEqual((done.returncode, done.stdout), (0, "executor|标题|一\n二|zh-CN"), done.stderr)
            self.assertEqual(done.stderr, "not a part of the prompt\n")

    def test_from_a_folder_on_the_path(self):
        done = self.run_it("house:Builder", PYTHONPATH=str(CLIENT))
        self.assertEqual((done.returncode, done.stdout), (0, "executor|标题|一\n二|zh-CN"), done.stderr)

    def test_what_fails_says_why_and_prints_nothing(self):
        cases = [
            (("house:Fails",), KNOWN, 1, "KeyError: 'colour'"),
            (("house:Strange",), KNOWN, 1, "Strange.build(one, two)"),
            (("house:Nothing",), KNOWN, 1, "and not a text"),
            (("house:Absent",), KNOWN, 1, "no attribute 'Absent'"),
            (("nowhere:Builder",), KNOWN, 1, "No module named 'nowhere'"),
            (("house",), KNOWN, 2, "usage: "),
            ((), KNOWN, 2, "usage: "),
            (("house:Builder",), None, 1, "JSONDecodeError"),
            (("house:Builder",), [1], 1, "holds no task"),
        ]
        for arguments, known, status, word in cases:
            with self.subTest(arguments):
                done = self.run_it(*arguments, known=known, PYTHONPATH=str(CLIENT))
                self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
                self.assertIn(word, done.stderr)
                self.assertNotIn("Traceback", done.stderr)


class OnABoard(unittest.TestCase):
    def test_a_builder_makes_the_first_part_of_a_prompt(self):
        agents = {"reader": 'cat > "$TEST_DIR/p"; echo >> "$TEST_DIR/p"; mv "$TEST_DIR/p" "$TEST_DIR/prompt.txt"; mozi report failed --detail x\n'}
        python = json.dumps(sys.executable)
        board = Board(agents, f'[bootstraps.house]\ncommand = [{python}, "-m", "mozi_spawner.bootstrap", "house:Builder"]\n')
        self.addCleanup(board.end)
        shutil.copy(CLIENT / "mozi_spawner.py", board.dir)
        board.write("house.py", BUILDERS)
        board.mozi("project", "set", "default", "bootstrap=house", "language=zh-CN")
        board.until(board.add("标题", agent="reader", must_haves=["条件"]), "failed")
        prompt = board.file("prompt.txt")
        self.assertTrue(prompt.startswith("executor|标题|条件|zh-CN\n"), prompt[:300])
        self.assertIn("working", prompt)
        self.assertNotIn("not a part of the prompt", prompt)


if __name__ == "__main__":
    unittest.main()
