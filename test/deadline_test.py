"""What examples/deadline promises, on real trees. Run by ctest, or by hand:

    DEADLINE=build/gcc-release/examples/deadline python3 test/deadline_test.py
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

DEADLINE = os.path.abspath(os.environ.get("DEADLINE", "deadline"))
PATIENCE = 60  # seconds until a test gives up on a process
PLENTY = ("--within", "1h")


class DeadlineTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="deadline-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    # Helpers. Every path is relative to self.folder, where every process runs.

    def write(self, path, content):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def endless(self, path):
        """A file that takes minutes to search, and no room on the disk."""
        self.write(path, b"needle")
        os.truncate(os.path.join(self.folder, path), 1 << 40)

    def run_it(self, *arguments):
        return subprocess.run(
            [DEADLINE, *arguments], cwd=self.folder, capture_output=True, timeout=PATIENCE
        )

    def search(self, *arguments):
        """The exit status; (matches, "+" if there may be more, path) for each file listed; what was
        said besides."""
        done = self.run_it(*arguments)
        lines = [
            re.fullmatch(r" *(\d+)(\+?) +(.*)", line).groups()
            for line in done.stdout.decode().splitlines()
        ]
        return done.returncode, [(int(n), more, path) for n, more, path in lines], done.stderr.decode()

    # All there is.

    def test_files_are_listed_by_their_matches_and_then_by_name(self):
        self.write("t/b/one", b"a needle")
        self.write("t/b/three", b"needleneedle\n\0needle")
        self.write("t/a", b"needle")
        self.write("t/none", b"needl eneedl")
        self.write("u", b"needle needle")
        for jobs in "1", "2", "16":
            for more in (), PLENTY:
                status, found, told = self.search("needle", "t", "u", "-j", jobs, *more)
                self.assertEqual(
                    found, [(3, "", "t/b/three"), (2, "", "u"), (1, "", "t/a"), (1, "", "t/b/one")]
                )
                self.assertEqual(told, "deadline: 5 files searched, 4 files with matches\n")
                self.assertEqual(status, 0)

    def test_only_the_best_are_listed(self):
        for i in range(20):
            self.write(f"t/{i:02}", b"needle" * (i + 1))
        for best in 0, 1, 19, 20:
            status, found, told = self.search("needle", "t", "--best", str(best))
            self.assertEqual(found, [(20 - i, "", f"t/{19 - i:02}") for i in range(best)])
            self.assertIn("20 files with matches", told)
            self.assertEqual(status, 0)
        self.assertEqual(len(self.search("needle", "t")[1]), 10)

    def test_matches_at_every_place_are_counted(self):
        block = 65536
        self.write("t", b"needle".join(b"-" * (block - 6 + i) for i in range(-8, 8)))
        self.assertEqual(self.search("needle", "t")[1], [(15, "", "t")])
        self.write("t", b"a" * (3 * block + 1))
        self.assertEqual(self.search("a", "t")[1], [(3 * block + 1, "", "t")])
        self.assertEqual(self.search("aa", "t")[1], [(3 * block // 2, "", "t")])
        self.assertEqual(self.search("a" * 100_000, "t")[1], [(1, "", "t")])

    def test_nothing_found_is_1(self):
        self.write("t/a", b"hay")
        os.mkdir(os.path.join(self.folder, "t/empty"))
        for more in (), PLENTY:
            self.assertEqual(
                self.search("needle", "t", *more),
                (1, [], "deadline: 1 file searched, 0 files with matches\n"),
            )

    def test_what_cannot_be_read_is_told_and_the_rest_is_searched(self):
        self.write("t/a", b"needle")
        os.symlink("self", os.path.join(self.folder, "self"))
        os.symlink("nope", os.path.join(self.folder, "t/link"))
        status, found, told = self.search("needle", "nope", "t", "self", "-j", "1", *PLENTY)
        self.assertEqual(found, [(1, "", "t/a")])
        self.assertEqual(
            told,
            "deadline: nope: No such file or directory\n"
            "deadline: self: Too many levels of symbolic links\n"
            "deadline: 1 file searched, 1 file with matches\n",
        )
        self.assertEqual(status, 2)

    # What there is in time.

    def incomplete(self, *arguments):
        """Lines, how many files were searched to their end, how many to some place, how many not."""
        status, found, told = self.search(*arguments)
        said = re.fullmatch(
            r"deadline: (\d+) files? searched, \d+ files? with matches\n"
            r"deadline: incomplete: time was over in (\d+) and before (\d+) more files and"
            r" directories\n",
            told,
        )
        self.assertTrue(said, told)
        self.assertEqual(status, 3)
        return found, tuple(int(n) for n in said.groups())

    def test_what_was_found_in_time_is_listed_and_the_rest_counted(self):
        self.write("first", b"needle needle")
        self.endless("hole")
        others = [f"t/{i}" for i in range(1000)]
        for path in others:
            self.write(path, b"needle")
        found, counts = self.incomplete("needle", "first", "hole", *others, "-j1", "--within", "3s")
        self.assertEqual(found, [(2, "", "first"), (1, "+", "hole")])
        self.assertEqual(counts, (1, 1, 1000))

    def test_a_directory_that_was_not_listed_is_one(self):
        self.endless("hole")
        self.write("t/a", b"needle")
        self.write("t/b", b"needle")
        found, counts = self.incomplete("needle", "hole", "t", "-j1", "--within", "3s")
        self.assertEqual((found, counts), ([(1, "+", "hole")], (0, 1, 1)))

    def test_every_job_ends_in_time(self):
        for i in range(20):
            self.endless(f"t/{i}")
        _, (searched, cut, skipped) = self.incomplete("needle", "t", "-j8", "-w", "3s")
        self.assertEqual(searched, 0)
        self.assertEqual(cut + skipped, 20)
        self.assertLessEqual(cut, 8)

    def test_hardly_any_time_is_an_answer_too(self):
        self.endless("t/hole")
        for _ in range(20):
            found, (searched, cut, skipped) = self.incomplete("needle", "t", "--within", "1ns")
            self.assertEqual((searched, cut + skipped), (0, 1))

    # The command line.

    def test_wrong_usage_is_2(self):
        for wrong in (
            [],
            ["x"],
            ["", "x"],
            ["x", "x", "-j0"],
            ["x", "x", "-w", "5"],
            ["x", "x", "-w", "0s"],
            ["x", "x", "-w", "-1s"],
            ["x", "x", "-w", "99999999999h"],
            ["x", "x", "--nope"],
        ):
            done = self.run_it(*wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertNotEqual(done.stderr, b"")
        done = self.run_it("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--within", done.stdout)


if __name__ == "__main__":
    if not os.access(DEADLINE, os.X_OK):
        sys.exit(f"deadline_test.py: DEADLINE={DEADLINE} is no program")
    unittest.main(verbosity=2)
