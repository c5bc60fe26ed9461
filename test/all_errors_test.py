"""What examples/all_errors promises, on real trees. Run by ctest, or by hand:

    ALL_ERRORS=build/gcc-release/examples/all_errors python3 test/all_errors_test.py
"""

import ctypes
import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

ALL_ERRORS = os.path.abspath(os.environ.get("ALL_ERRORS", "all_errors"))
PATIENCE = 60  # seconds until a test gives up on a process; none takes a noticeable part of it


class AllErrorsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="all-errors-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)

    # Helpers. Every path is relative to self.folder, where every process runs.

    def path(self, path):
        return os.path.join(os.fsencode(self.folder), os.fsencode(path))

    def write(self, path, content=b"{}"):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "wb") as file:
            file.write(content)

    def run_it(self, *arguments, **keywords):
        return subprocess.run(
            [ALL_ERRORS, *arguments],
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
            **keywords,
        )

    def validates(self, *arguments, **keywords):
        """The failures, as lines; how many files, of unknown kind, and failures were counted; what
        was said besides."""
        done = self.run_it(*arguments, **keywords)
        failures = done.stdout.decode(errors="surrogateescape").splitlines()
        told = re.fullmatch(
            rb"all_errors: (\d+) files? validated, (\d+) files? of unknown kind, (\d+) failures?"
            rb"(, \d+ of them not listed \(see --max-errors\))?\n",
            done.stderr,
        )
        self.assertTrue(told, done.stderr)
        files, unknown, count = (int(n) for n in told.groups()[:3])
        self.assertEqual(done.returncode, 1 if count else 0)
        return failures, (files, unknown, count), (told[4] or b"").decode()

    def failures_of(self, *arguments, **keywords):
        failures, (_, _, count), more = self.validates(*arguments, **keywords)
        self.assertEqual(len(failures), count)
        self.assertEqual(more, "")
        return failures

    def failure_of(self, path, content):
        """What is wrong with that content, or None."""
        self.write(path, content)
        failures = self.failures_of(path)
        self.assertLessEqual(len(failures), 1)
        if not failures:
            return None
        self.assertTrue(failures[0].startswith(os.fsdecode(path) + ": "), failures)
        return failures[0][len(os.fsdecode(path)) + 2 :]

    def without_roots_rights(self):
        """Keywords that run it without root's right to read what its mode forbids."""
        if os.getuid() != 0:
            return {}
        libc = ctypes.CDLL(None, use_errno=True)
        drop, cap_dac_override, cap_dac_read_search = 24, 1, 2  # PR_CAPBSET_DROP, see prctl(2)

        def forgo():
            for capability in cap_dac_override, cap_dac_read_search:
                if libc.prctl(drop, capability, 0, 0, 0) != 0:
                    raise OSError(ctypes.get_errno(), "prctl")

        self.write("locked")
        os.chmod(self.path("locked"), 0)
        try:
            command = ["cat", self.path("locked")]
            if subprocess.run(command, capture_output=True, preexec_fn=forgo).returncode:
                return {"preexec_fn": forgo}
        except subprocess.SubprocessError:
            pass
        self.skipTest("root cannot do without its rights here")

    # The kinds.

    def test_text(self):
        for good in (
            b"",
            b"a\n",
            "größe, 日本語, \U0001f600\n".encode(),
            b"\xef\xbb\xbfwith a mark",
            b"\xf4\x8f\xbf\xbf",  # the last character there is
            b"\xed\x9f\xbf\xee\x80\x80",  # around the surrogates
            b"x" * 65535 + "ö".encode() + b"x",  # a character in two blocks
        ):
            self.assertIsNone(self.failure_of("a.txt", good), good[:20])
        for bad, what in (
            (b"ab\ngr\xf6\xdfe\n", "not UTF-8 (line 2, column 3)"),
            (b"\n\n\x80", "not UTF-8 (line 3, column 1)"),
            (b"\xc0\xaf", "not UTF-8 (line 1, column 1)"),  # longer than it has to be
            (b"\xe0\x9f\xbf", "not UTF-8 (line 1, column 1)"),
            (b"\xf0\x8f\xbf\xbf", "not UTF-8 (line 1, column 1)"),
            (b"x\xed\xa0\x80", "not UTF-8 (line 1, column 2)"),  # half of a pair
            (b"\xf4\x90\x80\x80", "not UTF-8 (line 1, column 1)"),  # beyond the last
            (b"\xff", "not UTF-8 (line 1, column 1)"),
            (b"\xc3a", "not UTF-8 (line 1, column 1)"),
            ("ß".encode() * 3 + b"\xe2\x82a", "not UTF-8 (line 1, column 4)"),
            (b"a\0", "a NUL in a text (line 1, column 2)"),
            (b"a\n\xe2\x82", "ends in the middle of a character (line 2, column 1)"),
            (b"x\n" * 65536 + b"x\xff", "not UTF-8 (line 65537, column 2)"),
        ):
            self.assertEqual(self.failure_of("a.txt", bad), what, bad[:20])

    def test_json(self):
        deep = b"[" * 1_000_000
        for good in (
            b"1",
            b'{"a": [1, 2.5e3, "x\\u00e4", null, true]}\n',
            b"[" * 100_000 + b"]" * 100_000,
            json.dumps(list(range(100_000))).encode(),
        ):
            self.assertIsNone(self.failure_of("a.json", good), good[:20])
        for bad, what in (
            (b"", r".*unexpected end of input.* \(line 1, column 1\)"),
            (b'{"a": 1,\n "b": }', r".*unexpected '}'.* \(line 2, column 7\)"),
            (b"[1, 2", r".*unexpected end of input; expected ']' \(line 1, column 6\)"),
            (b"{} {}", r".*unexpected '{'; expected end of input \(line 1, column 4\)"),
            (b'["\xff"]', r".*ill-formed UTF-8 byte \(line 1, column 3\)"),
            (b'["a\nb"]', r".*control character.* \(line [12], column \d+\)"),
            (b"[1e999]", r"number overflow .*"),
            (b"nul", r".*invalid literal \(line 1, column 4\)"),
            (b"nul" + b"\x1b[31m" * 1000, r".*invalid literal \(line 1, column 4\)"),
            (deep, r".*unexpected end of input.* \(line 1, column 1000001\)"),
        ):
            self.assertRegex(self.failure_of("a.json", bad) or "", "^(" + what + ")$", bad[:20])

    def test_gzip(self):
        random = os.urandom(300_000)
        whole = gzip.compress(random)
        zeros = gzip.compress(b"\0" * 10_000_000)
        for good in (gzip.compress(b""), whole, zeros, whole + zeros + gzip.compress(b"")):
            self.assertIsNone(self.failure_of("a.gz", good))
        self.assertIsNone(self.failure_of("a.tar.gz", whole))
        for bad, what in (
            (b"", "unexpected end (byte 0)"),
            (b"\x1f", "unexpected end (byte 1)"),
            (whole[:-1], f"unexpected end (byte {len(whole) - 1})"),
            (zeros[:-9], f"unexpected end (byte {len(zeros) - 9})"),
            (whole + b"\x1f", f"unexpected end (byte {len(whole) + 1})"),
            (b"not gzip", "incorrect header check (byte 2)"),
            (whole[:-8] + b"1234" + whole[-4:], f"incorrect data check (byte {len(whole) - 4})"),
            (whole[:-1] + b"\xff", f"incorrect length check (byte {len(whole)})"),
            (whole + b"behind it", f"incorrect header check (byte {len(whole) + 2})"),
        ):
            self.assertEqual(self.failure_of("a.gz", bad), what)

    # Trees.

    def test_a_tree_with_failures_of_every_kind_in_the_order_of_the_walk(self):
        self.write("t/a/good.json")
        self.write("t/a/bad.json", b"[1 2]")
        self.write("t/a/latin.txt", b"gr\xfc\xdfe")
        self.write("t/b/cut.gz", gzip.compress(b"x" * 1000)[:-4])
        self.write("t/b/good.txt", b"text")
        self.write("t/b/picture.png", b"\xff\xd8")
        self.write("t/c.md", b"\0")
        for jobs in "1", "2", "16":
            failures, counts, more = self.validates("--jobs", jobs, "t", "nope")
            self.assertEqual(
                failures,
                [
                    "t/a/bad.json: syntax error while parsing array - unexpected number literal;"
                    " expected ']' (line 1, column 4)",
                    "t/a/latin.txt: not UTF-8 (line 1, column 3)",
                    "t/b/cut.gz: unexpected end (byte 25)",
                    "t/c.md: a NUL in a text (line 1, column 1)",
                    "nope: No such file or directory",
                ],
            )
            self.assertEqual(counts, (6, 1, 5))
            self.assertEqual(more, "")

    def test_an_empty_tree_is_valid(self):
        os.makedirs(self.path("empty/d/e"))
        self.assertEqual(self.validates("empty"), ([], (0, 0, 0), ""))

    def test_a_file_may_be_named_itself(self):
        self.write("a.json", b"[]")
        self.write("what")
        self.assertEqual(self.validates("a.json", "what", "./a.json"), ([], (2, 1, 0), ""))

    def test_what_cannot_be_read_is_a_failure_and_the_rest_is_done(self):
        keywords = self.without_roots_rights()
        self.write("t/a.json")
        self.write("t/b/c.json")
        self.write("t/d.json", b"[")
        os.chmod(self.path("t/a.json"), 0)
        os.chmod(self.path("t/b"), 0)
        failures = self.failures_of("t", **keywords)
        os.chmod(self.path("t/b"), 0o755)
        self.assertEqual(failures[:2], ["t/a.json: Permission denied", "t/b: Permission denied"])
        self.assertTrue(failures[2].startswith("t/d.json: syntax error"))
        self.assertEqual(len(failures), 3)

    def test_links_lead_nowhere_below_a_tree_and_somewhere_as_one(self):
        self.write("t/a.json", b"[")
        os.symlink("..", self.path("t/up"))
        os.symlink("self", self.path("t/self"))
        os.symlink("nope", self.path("t/nope.json"))
        os.symlink("a.json", self.path("t/again.json"))
        os.symlink("t", self.path("link"))
        os.mkfifo(self.path("t/pipe.json"))
        self.assertEqual(len(self.failures_of("t")), 1)
        self.assertEqual(len(self.failures_of("link")), 1)
        self.assertEqual(
            self.failures_of("t/self", "t/nope.json", "/dev/null"),
            [
                "t/self: Too many levels of symbolic links",
                "t/nope.json: No such file or directory",
                "/dev/null: Operation not supported",
            ],
        )

    def test_names_of_every_kind(self):
        for name in b"new\nline", b"\xff\xfe not utf-8", b"-leading dash", b"\x1b[31mred", b"%s {}":
            self.write(b"t/" + name + b".json", b"[")
        failures = self.failures_of("t")
        self.assertEqual(
            [line.split(": ")[0] for line in failures],
            [
                r"t/\x1b[31mred.json",
                "t/%s {}.json",
                "t/-leading dash.json",
                r"t/new\x0aline.json",
                os.fsdecode(b"t/\xff\xfe not utf-8.json"),
            ],
        )

    def test_a_deep_tree_is_walked_as_far_as_paths_go(self):
        here = os.open(self.folder, os.O_RDONLY)
        try:
            for _ in range(100):
                os.mkdir("d" * 99, dir_fd=here)
                below = os.open("d" * 99, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = below
        finally:
            os.close(here)
        failures = self.failures_of("d" * 99)
        self.assertEqual(len(failures), 1)
        self.assertTrue(failures[0].endswith(": File name too long"), failures[0][-100:])

    def test_huge_files_take_no_memory(self):
        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))

        with open(self.path("long.json"), "wb") as file:
            file.write(b"[0")
            for _ in range(150):
                file.write(b',"16 bytes a word"' * (1 << 16))
            file.write(b"]")
        with open(self.path("lines.txt"), "wb") as file:
            for _ in range(20):
                file.write(b"16 bytes a line\n" * (1 << 20))
            file.write(b"\xff")
        with open(self.path("zeros.gz"), "wb") as file:
            for _ in range(40):  # a gigabyte
                file.write(gzip.compress(b"\0" * (25 << 20), 1))
        for name in "hole.json", "hole.txt", "hole.gz":
            with open(self.path(name), "wb") as file:
                file.truncate(1 << 40)
        failures = self.failures_of(".", "--jobs", "1", preexec_fn=little_memory)
        self.assertEqual(
            [re.sub(": syntax error.*[(]", ": (", line) for line in failures],
            [
                "./hole.gz: incorrect header check (byte 2)",
                "./hole.json: (line 1, column 1)",
                "./hole.txt: a NUL in a text (line 1, column 1)",
                f"./lines.txt: not UTF-8 (line {(20 << 20) + 1}, column 1)",
            ],
        )

    # How many.

    def test_no_more_than_max_errors_are_listed_and_the_others_counted(self):
        for i in range(10):
            self.write(f"t/{i}.json", b"[")
        for most in 1, 2, 9:
            failures, counts, more = self.validates("t", "--max-errors", str(most))
            self.assertEqual(len(failures), most)
            self.assertEqual(failures, sorted(failures))
            self.assertEqual(counts, (10, 0, 10))
            self.assertEqual(more, f", {10 - most} of them not listed (see --max-errors)")
        self.assertEqual(len(self.failures_of("t", "--max-errors", "10")), 10)
        self.assertEqual(len(self.failures_of("t", "-m", str(2**64 - 1))), 10)

    def test_many_failures_are_all_listed_in_order(self):
        for i in range(20_000):
            self.write(f"t/{i % 100:02}/{i:05}.txt", b"\xff" if i % 2 else b"x")
        failures = self.failures_of("t", "-m", "100000", "-j", "8")
        self.assertEqual(
            failures,
            [
                f"t/{i % 100:02}/{i:05}.txt: not UTF-8 (line 1, column 1)"
                for i in sorted(range(1, 20_000, 2), key=lambda i: (i % 100, i))
            ],
        )
        listed, counts, more = self.validates("t")
        self.assertEqual(len(listed), 100)
        self.assertEqual(counts, (20_000, 0, 10_000))
        self.assertEqual(more, ", 9900 of them not listed (see --max-errors)")

    def test_few_open_files_are_enough(self):
        def few_files():
            resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

        for i in range(200):
            self.write(f"t/{i}/a.json")
        self.assertEqual(self.failures_of("t", "-j", "4", preexec_fn=few_files), [])

    # The command line.

    def test_wrong_usage_is_2(self):
        for wrong in ([], ["--nope", "x"], ["-j", "0", "x"], ["-m", "0", "x"], ["-m", "x", "x"]):
            done = self.run_it(*wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertNotEqual(done.stderr, b"")
        done = self.run_it("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--max-errors", done.stdout)

    def test_a_list_that_cannot_be_written_is_a_failure(self):
        self.write("a.json", b"[")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [ALL_ERRORS, "a.json"],
                cwd=self.folder,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
            )
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    if not os.access(ALL_ERRORS, os.X_OK):
        sys.exit(f"all_errors_test.py: ALL_ERRORS={ALL_ERRORS} is no program")
    unittest.main(verbosity=2)
