"""Follows the steps of docs/from_tbb.md on test/porting/old.cpp. Run by ctest, or by hand:

    CXX=g++ INCLUDES=include python3 test/porting_test.py
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OLD = ROOT / "test/porting/old.cpp"
DOCUMENT = (ROOT / "docs/from_tbb.md").read_text()
CXX = os.environ.get("CXX", "g++")
FOLDERS = os.environ.get("INCLUDES", str(ROOT / "include")).split(":")
COMPILE = [CXX, "-std=c++20", "-Wall", "-fsyntax-only"]
COMPILE += [f"-I{os.path.abspath(folder)}" for folder in FOLDERS if folder]
PATIENCE = 120  # seconds until a test gives up on a process


def step(words):
    """The commands of the step whose title has the words."""
    text = re.search(rf"^\d+\. \*\*{words}.*?(?=^\d+\. \*\*|^#)", DOCUMENT, re.M | re.S)[0]
    return "\n".join(re.findall(r"```console\n(.*?)```", text, re.S))


def messages():
    """For each line of the table, what one compiler or the other says."""
    table = re.search(r"^\| the compiler says .*?\n\n", DOCUMENT, re.M | re.S)[0]
    for line in table.strip().splitlines()[2:]:
        yield [text for text in re.findall(r"`(.*?)`", line.split("|")[1]) if " " in text]


class PortingTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="porting-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        shutil.copy(OLD, os.path.join(self.folder, "app.cpp"))
        self.bash("git init --quiet . && git add app.cpp")
        # "make -B -k" of the document: the compile command of the only file.
        make = os.path.join(self.folder, "make")
        with open(make, "w") as file:
            file.write("#!/bin/sh\nexec %s app.cpp\n" % " ".join(f"'{word}'" for word in COMPILE))
        os.chmod(make, 0o755)

    def bash(self, commands):
        """What the commands print."""
        done = subprocess.run(
            ["bash", "-c", commands],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout

    def program(self):
        return pathlib.Path(self.folder, "app.cpp").read_text()

    def mend(self):
        """Writes the lines that a person writes."""
        mended = re.sub(r"(?m)^( *)\S.*// becomes: ?(.*)$", r"\1\2", self.program())
        pathlib.Path(self.folder, "app.cpp").write_text(mended)

    def test_the_steps_lead_to_a_program_that_compiles_without_a_warning(self):
        before = self.bash("make")
        self.assertNotIn("error", before)

        left = self.bash(step("Replace the names"))
        self.assertEqual(
            [line.split(":")[2].strip() for line in left.splitlines() if "//" not in line],
            ["#include <oneapi/tbb/task_group.h>"],
            left,
        )
        self.assertIn("task_group g;  // becomes", left)

        said = self.bash("make")
        for phrases in messages():
            with self.subTest(phrases):
                found = [p for p in phrases if re.search(re.escape(p).replace("…", ".*"), said)]
                self.assertTrue(found, said)

        self.mend()
        self.assertEqual(self.program().count("raise"), 0)
        self.bash(step("Make each `wait` throw"))
        self.assertEqual(self.program().count("wait().raise();"), 7)
        self.assertEqual(self.bash("make"), "")

    def test_what_has_no_counterpart_is_found(self):
        found = self.bash(step("Look for what has no counterpart"))
        self.assertIn("g.defer(", found)
        self.assertIn("tbb::task_group_context apart", found)


if __name__ == "__main__":
    unittest.main()
