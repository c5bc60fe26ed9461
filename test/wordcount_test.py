"""What examples/wordcount promises, on real trees. Run by ctest, or by hand:

    WORDCOUNT=build/gcc-release/examples/wordcount python3 test/wordcount_test.py
"""

import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

WORDCOUNT = os.path.abspath(os.environ.get("WORDCOUNT", "wordcount"))
PATIENCE = 60  # seconds until a test gives up on a process
ALL = ("--best", "1000000")


class WordcountTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="wordcount-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    # Helpers. Every path is relative to self.folder, where every process runs.

    def write(self, path, content):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def count(self, *arguments):
        """The exit status, [(word, count)], and what was said."""
        done = subprocess.run(
            [WORDCOUNT, *arguments], cwd=self.folder, capture_output=True, timeout=PATIENCE
        )
        lines = [
            re.fullmatch(rb" *(\d+)  (.*)", line).groups() for line in done.stdout.splitlines()
        ]
        return (
            done.returncode,
            [(word, int(n)) for n, word in lines],
            done.stderr.decode().splitlines(),
        )

    @staticmethod
    def words_in(content):
        return collections.Counter(re.findall(rb"[a-z0-9\x80-\xff]+", content.lower()))

    # Counting.

    def test_a_tree_is_counted_whoever_does_what(self):
        chance = random.Random(5)
        expected, lines = collections.Counter(), 0
        for i in range(500):
            content = b"".join(
                chance.choice([b"the", b"The", b"a%d" % chance.randrange(100), b"\xc3\xa4"])
                + chance.choice([b" ", b"\n", b", ", b"-", b"\t"])
                for _ in range(chance.randrange(200))
            )
            self.write("t/%s%d" % ("d/" * chance.randrange(5), i), content)
            expected += self.words_in(content)
            lines += content.count(b"\n")
        sorted_words = sorted(expected.items(), key=lambda each: (-each[1], each[0]))
        for jobs in "1", "2", "16":
            status, words, said = self.count("t", "-j", jobs, *ALL)
            self.assertEqual(words, sorted_words)
            self.assertEqual(
                said, [f"wordcount: 500 files, {len(sorted_words)} different words, {lines} lines"]
            )
            self.assertEqual(status, 0)

    def test_a_word_that_lies_in_two_blocks_is_one(self):
        block = 65536
        content = b" needle".join(b"-" * (block - 7 + i) for i in range(-8, 8)) + b" end"
        self.write("t", content)
        self.assertEqual(self.count("t")[1], [(b"needle", 15), (b"end", 1)])
        self.write("t", b"x" * (3 * block))
        self.assertEqual(self.count("t")[1], [(b"x" * (3 * block), 1)])

    def test_only_the_best_are_listed(self):
        self.write("t", b"".join(b"w%02d " % i * (i + 1) for i in range(20)))
        for best in 0, 1, 19, 20:
            status, words, said = self.count("t", "--best", str(best))
            self.assertEqual(words, [(b"w%02d" % (19 - i), 20 - i) for i in range(best)])
            expected = ["wordcount: 1 file, 20 different words, 0 lines"]
            self.assertEqual((status, said), (0, expected))
        self.assertEqual(len(self.count("t")[1]), 10)

    def test_what_is_no_text_and_links_below_are_left_out(self):
        self.write("t/a", b"word\n")
        self.write("t/b", b"word\0word")
        self.write("u", b"link")
        os.symlink("../u", os.path.join(self.folder, "t/link"))
        os.symlink("t", os.path.join(self.folder, "tree"))
        os.mkfifo(os.path.join(self.folder, "t/pipe"))
        said = ["wordcount: 1 file, 1 different word, 1 line; 1 file is no text"]
        for path in "t", "tree":
            self.assertEqual(self.count(path), (0, [(b"word", 1)], said))

    def test_no_words_is_1(self):
        os.makedirs(os.path.join(self.folder, "empty/empty"))
        self.write("t", b"\n.\n")
        said = ["wordcount: 0 files, 0 different words, 0 lines"]
        self.assertEqual(self.count("empty"), (1, [], said))
        said = ["wordcount: 1 file, 0 different words, 2 lines"]
        self.assertEqual(self.count("t"), (1, [], said))

    def test_progress_ends_with_its_final_line(self):
        for i in range(20):
            self.write(f"t/{i}", b"word\n")
        status, words, said = self.count("t", "--progress")
        self.assertEqual((status, words), (0, [(b"word", 20)]))
        # `splitlines` also splits at the carriage returns between the updates of the line.
        *updates, final, summary = [line.rstrip() for line in said]
        self.assertEqual(summary, "wordcount: 20 files, 1 different word, 20 lines")
        self.assertRegex(final, r"^20 of 20 \(100 %\), .*, in [0-9.]+ s$")
        for update in updates:
            self.assertRegex(update, r"^$|^\d+ of 20 \(")

    def test_progress_shows_how_far_it_came_before_it_failed(self):
        self.write("t/a", b"word\n")
        self.write("t/b", b"word\n")
        status, words, said = self.count("t", self.unreadable(), "-j", "1", "--progress")
        self.assertEqual((status, words), (2, []))
        self.assertRegex(said[-2].rstrip(), r"^[123] of 3 \(.*, in [0-9.]+ s$")
        self.assertEqual(said[-1], f"wordcount: {self.unreadable()}: Input/output error")

    # Problems.

    def unreadable(self):
        """A file that opens, and cannot be read, whoever we are."""
        if not os.path.exists("/proc/self/mem"):
            self.skipTest("there is no /proc")
        return "/proc/self/mem"

    def test_no_sum_without_what_cannot_be_read(self):
        self.write("t/a", b"word\n")
        os.symlink("self", os.path.join(self.folder, "self"))
        for bad, why in (
            ("nope", "No such file or directory"),
            ("self", "Too many levels of symbolic links"),
            ("/dev/null", "is neither a file nor a folder"),
            (self.unreadable(), "Input/output error"),
        ):
            for jobs in "1", "8":
                told = self.count("t", bad, "t", "-j", jobs)
                self.assertEqual(told, (2, [], [f"wordcount: {bad}: {why}"]))
                status, words, said = self.count("t", bad, "t", "-j", jobs, "--keep-going")
                self.assertEqual((status, words), (2, [(b"word", 2)]))
                self.assertEqual(
                    said,
                    [f"wordcount: {bad}: {why}", "wordcount: 2 files, 1 different word, 2 lines"],
                )

    # The command line.

    def test_wrong_usage_is_2(self):
        for wrong in ([], ["x", "-j0"], ["x", "-b", "y"], ["x", "--nope"]):
            done = subprocess.run([WORDCOUNT, *wrong], capture_output=True, timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (2, b""), wrong)
            self.assertNotEqual(done.stderr, b"")
        done = subprocess.run([WORDCOUNT, "--help"], capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--keep-going", done.stdout)


if __name__ == "__main__":
    if not os.access(WORDCOUNT, os.X_OK):
        sys.exit(f"wordcount_test.py: WORDCOUNT={WORDCOUNT} is no program")
    unittest.main(verbosity=2)
