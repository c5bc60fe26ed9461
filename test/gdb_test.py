"""What gdb/errgroup-gdb.py promises, on a program that hangs and on its core. Run by ctest, or by hand:

    GDB_PROGRAM=build/gcc-debug/test/errgroup_gdb_program python3 test/gdb_test.py

A second program, of the name with `_limiter` behind it, hangs in tasks of a limiter.
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(os.environ.get("GDB_PROGRAM", "errgroup_gdb_program"))
SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "gdb" / "errgroup-gdb.py"
PATIENCE = 100  # seconds until a test gives up on gdb
SKIPPED = 77  # for ctest

# The addresses and the times of the output are not compared.
TASKS = r"""Thread \d+ \(LWP \d+\).*: waits for group "parse" A
Thread \d+ \(LWP \d+\).*
  #0  task 0 "link 3" of group A, run at gdb_program.cpp:47
  #1  task 0 "fetch" of group "crawl" A, run at gdb_program.cpp:65
Thread \d+ \(LWP \d+\).*
  #0  task 1 of group "crawl" A, run at gdb_program.cpp:66
Thread \d+ \(LWP \d+\).*
  #0  task 0 "page 7" of group "parse" A, run at gdb_program.cpp:72, TIME"""
GROUPS = r"""group "crawl" A: 2 of 2 running, 3 waiting, 0 failed
  in task 0 "fetch", Thread \d+ \(LWP \d+\).*:
    group A: 1 running, at least 0 waiting, 0 failed
    group "seeds" A: 0 running, at least 0 waiting, 0 failed
group "parse" A: 1 running, 0 waiting, 0 failed, made at gdb_program.cpp:58
group "broken" A: 0 running, 0 waiting, 1 failed, made at gdb_program.cpp:57, cancelled, """ \
    r"""first error: std::runtime_error: "bad header" \(task 0, "broken/header", run at """ \
    r"""gdb_program.cpp:61\)"""

LIMITER_TASKS = r"""Thread \d+ \(LWP \d+\).*
  #0  task 0 "link 3" of group "links" A, run at gdb_limiter_program.cpp:22
  #1  inside group "limiter" A, but in no task of it
Thread \d+ \(LWP \d+\).*
  #0  task 0 "fetch" of group "crawl" A, run at gdb_limiter_program.cpp:36"""
LIMITER_GROUPS = r"""group "crawl" A: 1 running, 3 waiting, 0 failed
  in task 0 "fetch", Thread \d+ \(LWP \d+\).*:
    group "links" A: 1 of 2 running, 0 waiting, 0 failed
group "limiter" A: 0 of 3 running, \d waiting, 0 failed"""


def pattern(text, age):
    """Lines in any order of the threads: each block that is not indented is looked for alone."""
    text = text.replace(" A", " 0x[0-9a-f]+").replace("TIME", age)
    return re.split(r"\n(?! )", text)


class GdbTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="errgroup-gdb-"))
        cls.plain = cls.folder / "plain"  # without debug information, as in a release build
        cls.stripped = cls.folder / "stripped"  # without symbols, too
        keep = "--keep-section=.debug_gdb_scripts"
        subprocess.run(["objcopy", "--strip-debug", keep, PROGRAM, cls.plain], check=True)
        subprocess.run(["strip", "-o", cls.stripped, PROGRAM], check=True)
        cls.core = cls.folder / "core"
        cls.live = cls.gdb(
            cls.plain, "run", "echo T\\n", "errgroup tasks", "echo G\\n", "errgroup groups",
            "echo E\\n", f"generate-core-file {cls.core}",
        )

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @staticmethod
    def gdb(program, *commands, core=None, script=SCRIPT, safe_path=None):
        """All that gdb prints. Commands in a script stop at the first error, these do not."""
        line = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set width 0"]
        if safe_path:
            line += ["-iex", f"add-auto-load-safe-path {safe_path}"]
        if script:
            line += ["-x", script]
        for command in commands:
            line += ["-ex", command]
        line += [program] + ([core] if core else [])
        done = subprocess.run(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE
        )
        if "Traceback" in done.stdout or "Python Exception" in done.stdout:
            raise AssertionError(done.stdout)
        return done.stdout

    def assert_shows(self, output, expected, age=r"for \d+\.\d s"):
        for block in pattern(expected, age):
            self.assertRegex(output, re.compile(f"^{block}$", re.M))

    # The commands.

    def test_Z1_each_thread_and_its_tasks_are_shown_without_debug_information(self):
        self.assertIn("hangs", self.live)
        tasks = self.live.partition("T\n")[2].partition("G\n")[0]
        self.assert_shows(tasks, TASKS)
        self.assertEqual(len(re.findall("^Thread", tasks, re.M)), 4)
        self.assertEqual(len(re.findall("^  #", tasks, re.M)), 4)

    def test_Z2_each_group_is_shown_below_the_task_that_made_it(self):
        groups = self.live.partition("G\n")[2].partition("E\n")[0]
        self.assert_shows(groups, GROUPS)
        self.assertEqual(len(re.findall(r"^\s*group", groups, re.M)), 5)

    def test_Z1_Z2_a_core_file_shows_the_same(self):
        output = self.gdb(self.plain, "errgroup tasks", "errgroup groups", core=self.core)
        self.assert_shows(output, TASKS, "begun last")
        self.assert_shows(output, GROUPS)

    def test_Z1_Z2_a_stripped_executable_shows_the_same(self):
        self.assertNotIn(b"errgroup_layout_v1", self.stripped.read_bytes())
        output = self.gdb(self.stripped, "errgroup tasks", "errgroup groups", core=self.core)
        self.assert_shows(output, TASKS, "begun last")
        no_names = GROUPS.replace("std::runtime_error", r"(?:std::runtime_error|.*)")
        self.assert_shows(output, no_names)

    def test_Z1_Z2_tasks_of_a_limiter_are_shown_with_its_threads_and_without_hidden_groups(self):
        output = self.gdb(f"{PROGRAM}_limiter", "run", "errgroup tasks", "echo G\\n", "errgroup groups")
        tasks, _, groups = output.partition("G\n")
        self.assert_shows(tasks, LIMITER_TASKS)
        self.assertEqual(len(re.findall("^  #", tasks, re.M)), 3, output)
        self.assert_shows(groups, LIMITER_GROUPS)
        self.assertEqual(len(re.findall(r"^\s*group", groups, re.M)), 3, output)

    def test_Z3_values_are_printed(self):
        names = "the_error the_code no_error the_value no_value success *the_crawl".split()
        output = self.gdb(PROGRAM, *(f"print {name}" for name in names), core=self.core)
        broken = 'std::runtime_error: "bad header" (task 0, "broken/header", run at gdb_program.cpp:61)'
        for i, text in enumerate(
            [
                broken,
                "errgroup::errc::deadline_exceeded",
                "success",
                "success = {value = 7}",
                f"error: {broken}",
                "success",
            ],
            1,
        ):
            self.assertIn(f"${i} = {text}\n", output)
        self.assertRegex(output, r'\$7 = group "crawl" 0x[0-9a-f]+: 2 of 2 running, 3 waiting')

    # How gdb finds the script.

    def test_Z4_gdb_finds_the_script_in_a_program_in_its_safe_path(self):
        tasks = ("errgroup tasks",)
        output = self.gdb(self.plain, *tasks, core=self.core, script=None)
        self.assertIn("Undefined command", output)
        self.assertIn(f"add-auto-load-safe-path {self.plain}", output)
        output = self.gdb(
            self.plain, *tasks, core=self.core, script=None, safe_path=self.folder
        )
        self.assert_shows(output, TASKS, "begun last")

    # What is told instead of an answer.

    def test_Z4_another_layout_is_refused(self):
        image = bytearray(self.plain.read_bytes())
        at = image.index(b"errgroup" + struct.pack("=I", 1))
        image[at + 8 : at + 12] = struct.pack("=I", 2)
        other = self.folder / "other"
        other.write_bytes(image)
        other.chmod(0o755)
        output = self.gdb(other, "run", "errgroup tasks")
        self.assertIn("layout 2, and this script reads layout 1", output)
        renamed = self.folder / "renamed"
        subprocess.run(
            [
                "objcopy",
                "--redefine-sym=errgroup_layout_v1=errgroup_layout_v2",
                "--rename-section=errgroup_layout=elsewhere",
                self.plain,
                renamed,
            ],
            check=True,
        )
        output = self.gdb(renamed, "run", "errgroup tasks")
        self.assertIn("layout 2, and this script reads layout 1", output)

    def test_no_process_and_no_errgroup_are_told(self):
        self.assertIn("there is no process", self.gdb(self.plain, "errgroup tasks"))
        self.assertIn(
            "no errgroup is in this process", self.gdb("/bin/true", "starti", "errgroup groups")
        )

    def test_wrong_arguments_are_told(self):
        output = self.gdb(self.plain, "errgroup tasks 3", "errgroup threads", "errgroup")
        self.assertIn("takes no argument, and got '3'", output)
        self.assertIn("there is no command 'threads'", output)
        self.assertIn("errgroup groups --", output)

    def damaged(self, change):
        """The output with the memory changed: `change` is Python in gdb, with `l` the layout, `f` the
        frame of a task, and `put(address, value)`."""
        python = f"""python
l = layouts()[0]
f = next(t for t in Picture(l).threads if len(t.tasks) == 2).tasks[0].frame
put = lambda at, value: gdb.selected_inferior().write_memory(at, value.to_bytes(8, byte_order))
{change}
end
errgroup tasks
errgroup groups
"""
        commands = self.folder / "commands.gdb"
        commands.write_text(python)
        return self.gdb(self.plain, "run", f"source {commands}", "errgroup groups", "echo alive")

    def test_Z4_damaged_memory_is_told_in_words(self):
        for change, words in (
            ("put(l.pointer(l.stacks) + l['stack.next'], 16)", "cannot be read"),
            ("put(l.pointer(l.stacks) + l['stack.next'], l.pointer(l.stacks))", "does not end"),
            ("put(f + l['frame.above'], f)", "does not end"),
            ("put(f + l['frame.label'], 17)", "cannot be read"),
            ("put(f + l['frame.owner'], 8)", "cannot be read"),
            ("put(f + l['frame.children'], 8)", "cannot be read"),
            ("n = l.pointer(f, 'frame.children'); put(n + l['node.next'], n)", "does not end"),
            ("put(l.observed, 24)", "cannot be read"),
        ):
            with self.subTest(change):
                output = self.damaged(change)
                self.assertIn(words, output)
                self.assertIn("Thread ", output)  # the rest is shown
                self.assertIn("alive", output)


if __name__ == "__main__":
    if shutil.which("gdb") is None:
        print("gdb_test.py: skipped: gdb is not installed: scripts/setup installs it")
        sys.exit(SKIPPED)
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"gdb_test.py: GDB_PROGRAM={PROGRAM} is no program")
    unittest.main(verbosity=2)
