"""What examples/treesum promises, on real files. Run by ctest, or by hand:

    TREESUM=build/gcc-release/examples/treesum python3 test/treesum_test.py
"""

import ctypes
import hashlib
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TREESUM = os.path.abspath(os.environ.get("TREESUM", "treesum"))
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PATIENCE = 60  # seconds until a test gives up on a process; none takes a noticeable part of it

# Every kind of name that a line-based format, an option parser or a terminal can stumble over.
AWKWARD_NAMES = [
    b"plain",
    b"new\nline",
    b"\nnewline first",
    b"newline last\n",
    b"back\\slash",
    b"not a newline \\n",
    b"carriage\rreturn",
    b"carriage return last\r",
    b"-leading dash",
    b"--check",
    b"-",
    b" leading space",
    b"trailing space ",
    b"two  blanks",
    b"*star",
    b"#hash",
    b"tab\t",
    b"[a,b]",
    b"{}",
    b"%%",
    b"\xff\xfe not utf-8",
    "größe".encode(),
    b"\x1b[31mred",
    b"'quotes' \"too\" $(and more)",
    b"x" * 255,
]


def line_of(path: bytes, content: bytes) -> bytes:
    """The line that coreutils writes, by its documentation rather than by our code."""
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != path else b""
    return mark + hashlib.sha256(content).hexdigest().encode() + b"  " + escaped + b"\n"


class TreesumTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="treesum-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)

    # Helpers. Every path is relative to self.folder, where every process runs.

    def write(self, path, content=b"x"):
        full = os.path.join(os.fsencode(self.folder), os.fsencode(path))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(content)

    def treesum(self, *arguments, **keywords):
        keywords.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(
            [keywords.pop("program", TREESUM), *arguments],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            **keywords,
        )

    def start(self, *arguments, **keywords):
        process = subprocess.Popen([TREESUM, *arguments], cwd=self.folder, **keywords)

        def end():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

        self.addCleanup(end)
        return process

    def succeeds(self, *arguments, **keywords):
        done = self.treesum(*arguments, **keywords)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def fails(self, *arguments, status=1, **keywords):
        """The lines on standard error, which are treesum's own and whole."""
        done = self.treesum(*arguments, **keywords)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.endswith(b"\n"), done.stderr)
        lines = done.stderr.decode(errors="replace").splitlines()
        for line in lines:
            self.assertRegex(line, r"^treesum: .")
        self.assert_whole_lines(done.stdout)
        return lines

    def assert_whole_lines(self, text):
        for line in text.splitlines(keepends=True):
            self.assertRegex(line, rb"\A\\?[0-9a-f]{64}  .+\n\Z")

    def wait_until_it_rests(self, process):
        """Until it handles signals and has used no processor time for a while."""
        used = None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
                now = file.read().rsplit(") ", 1)[1].split()[11:13]
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                blocked = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
            if now == used and blocked & (1 << (signal.SIGINT - 1)):
                return
            used = now
            time.sleep(0.3)
        self.fail("it never came to rest")

    def sha256sum(self, *arguments, **keywords):
        return subprocess.run(
            ["sha256sum", *arguments], cwd=self.folder, capture_output=True, timeout=PATIENCE, **keywords
        )


class Sums(TreesumTest):
    def test_lines_are_those_of_sha256sum_for_names_of_every_kind(self):
        for name in AWKWARD_NAMES:
            self.write(b"d/" + name, name)
        out = self.succeeds("d")
        names = sorted(AWKWARD_NAMES)
        self.assertEqual(out, b"".join(line_of(b"d/" + name, name) for name in names))
        self.assertEqual(out, self.sha256sum("--", *(b"d/" + name for name in names)).stdout)

    def test_sha256sum_accepts_the_list(self):
        for name in AWKWARD_NAMES:
            self.write(b"d/" + name, name)
        checked = self.sha256sum("--check", "--strict", input=self.succeeds("d"))
        self.assertEqual((checked.returncode, checked.stderr), (0, b""))
        self.assertEqual(checked.stdout.count(b": OK\n"), len(AWKWARD_NAMES))

    def test_names_of_every_kind_may_be_arguments(self):
        names = [name for name in AWKWARD_NAMES if name != b"-"]
        for name in names:
            self.write(name, name)
        self.assertEqual(
            self.succeeds("--", *names), b"".join(line_of(name, name) for name in names)
        )

    def test_a_lone_dash_is_not_taken_for_a_file(self):
        self.write("-")
        self.assertEqual(
            self.fails("-"), ["treesum: -: standard input is no tree; a file of this name is ./-"]
        )
        self.assertEqual(self.succeeds("./-"), line_of(b"./-", b"x"))

    def test_order_is_depth_first_by_bytes_and_the_same_for_every_number_of_jobs(self):
        paths = [b"B", b"a", b"a-b", b"a.d/2", b"a.d/10", b"a.d/z/z", b"a.d/z.z", b"\xc3\xa4"]
        for path in paths:
            self.write(b"d/" + path, path)
        expected = [b"B", b"a", b"a-b", b"a.d/10", b"a.d/2", b"a.d/z/z", b"a.d/z.z", b"\xc3\xa4"]
        for jobs in "1", "2", "3", "64", "2147483647":
            out = self.succeeds("-j", jobs, "d")
            self.assertEqual(out, b"".join(line_of(b"d/" + path, path) for path in expected))

    def test_order_is_stable_with_files_of_very_different_sizes(self):
        for i in range(300):
            self.write(f"d/{i:03}", b"x" * (3_000_000 if i % 50 == 0 else i))
        first = self.succeeds("-j", "1", "d")
        self.assertEqual([line[-3:] for line in first.decode().splitlines()],
                         [f"{i:03}" for i in range(300)])
        for _ in range(5):
            self.assertEqual(self.succeeds("d"), first)

    def test_arguments_keep_their_order_and_their_spelling(self):
        self.write("a/1")
        self.write("b/1")
        out = self.succeeds("b/", "./a", "b//1", "b")
        names = [line[66:] for line in out.decode().splitlines()]
        self.assertEqual(names, ["b/1", "./a/1", "b//1", "b/1"])

    def test_files_of_every_size_around_the_block(self):
        sizes = [0, 1, 63, 64, 65, 131071, 131072, 131073, 262144, 5_000_001]
        for i, size in enumerate(sizes):
            self.write(f"d/{i}", os.urandom(size))
        self.assertIn(EMPTY.encode() + b"  d/0\n", self.succeeds("d"))
        self.assertEqual(
            self.succeeds("d"), self.sha256sum(*(f"d/{i}" for i in range(len(sizes)))).stdout
        )

    def test_a_file_of_a_gigabyte(self):
        with open(os.path.join(self.folder, "big"), "wb") as file:
            file.truncate(1 << 30)  # a hole: takes no space
        self.assertEqual(
            self.succeeds("big"),
            b"49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14  big\n",
        )

    def test_more_files_after_a_slow_one_than_results_are_kept(self):
        with open(os.path.join(self.folder, "0"), "wb") as file:
            file.truncate(3 << 30)
        for i in range(200):
            self.write(f"d/{i:03}")
        roots = ["d"] * 400  # 80,000 files, without making as many
        out = self.succeeds("0", *roots)
        self.assertEqual(out.count(b"\n"), 80_001)
        self.assertEqual(out[66:].split(b"\n", 1)[1], self.succeeds("d") * 400)

    def test_files_that_say_they_are_empty_are_read_to_their_end(self):
        # /proc/kallsyms is long, and comes in reads much shorter than what was asked for.
        paths = [p for p in ("/proc/version", "/proc/kallsyms") if os.path.exists(p)]
        if not paths:
            self.skipTest("no such files here")
        self.assertEqual(self.succeeds(*paths), self.sha256sum(*paths).stdout)

    def test_an_empty_tree_has_no_lines(self):
        os.makedirs(os.path.join(self.folder, "d/e/f"))
        self.assertEqual(self.succeeds("d"), b"")

    def test_the_list_may_be_written_into_the_tree(self):
        self.write("d/file")
        with open(os.path.join(self.folder, "d/list"), "wb") as out:
            self.succeeds("d", stdout=out)
        with open(os.path.join(self.folder, "d/list"), "rb") as file:
            self.assertEqual(file.read(), line_of(b"d/file", b"x"))
        self.assertEqual(self.succeeds("--check", "d/list", "d"), b"1 file, all as listed\n")

    def test_pipes_sockets_and_devices_below_a_path_are_left_out(self):
        self.write("d/file")
        os.mkfifo(os.path.join(self.folder, "d/pipe"))
        self.assertEqual(self.succeeds("d"), line_of(b"d/file", b"x"))
        self.assertEqual(
            self.fails("d/pipe"), ["treesum: d/pipe: neither a file nor a directory"]
        )

    def test_open_files_are_bounded(self):
        for i in range(3000):
            self.write(f"d/{i % 50}/{i}", b"%d" % i)
        deep = "d/" + "/".join("deeper" for _ in range(60))
        self.write(deep + "/file")

        # The three standard streams, one for signals, one directory; and one to spare.
        for jobs in 1, 2, 4:
            few = jobs + 6
            out = self.succeeds(
                "-j", str(jobs), "d",
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)),
            )
            self.assertEqual(out.count(b"\n"), 3001)

    def test_memory_does_not_grow_with_the_number_of_files(self):
        for i in range(1000):
            self.write(f"d/{i}")

        # AddressSanitizer, where built in, would keep what was freed.
        options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"

        def peak(times):
            with open(os.devnull, "wb") as nowhere:
                process = self.start("-j", "2", *(["d"] * times), stdout=nowhere,
                                     env={**os.environ, "ASAN_OPTIONS": options})
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss  # in KiB

        few, many = peak(100), peak(1000)  # 100,000 and 1,000,000 files
        self.assertLess(many, few + 20_000)


class Links(TreesumTest):
    def setUp(self):
        super().setUp()
        self.write("d/file", b"content")

    def link(self, target, path):
        os.symlink(target, os.path.join(self.folder, path))

    def test_named_ones_are_followed(self):
        self.link("d/file", "to-file")
        self.link("d", "to-directory")
        self.assertEqual(
            self.succeeds("to-file", "to-directory"),
            line_of(b"to-file", b"content") + line_of(b"to-directory/file", b"content"),
        )

    def test_those_below_a_path_are_left_out(self):
        self.link("file", "d/to-file")
        self.link(".", "d/to-itself")
        self.link("nowhere", "d/to-nowhere")
        self.link("round", "d/round")
        self.assertEqual(self.succeeds("d"), line_of(b"d/file", b"content"))

    def test_with_follow_they_are_followed(self):
        self.write("e/other", b"more")
        self.link("../e", "d/to-e")
        self.link("../e/other", "d/to-other")
        self.assertEqual(
            self.succeeds("-L", "d"),
            line_of(b"d/file", b"content")
            + line_of(b"d/to-e/other", b"more")
            + line_of(b"d/to-other", b"more"),
        )

    def test_a_loop_that_is_named_is_one_clear_line(self):
        self.link("b", "a")
        self.link("a", "b")
        self.assertEqual(self.fails("a"), ["treesum: a: Too many levels of symbolic links"])

    def test_a_loop_that_is_followed_is_one_clear_line(self):
        self.link("../d", "d/again")
        self.assertEqual(
            self.fails("--follow", "d"), ["treesum: d/again: a loop of links: this is d/ again"]
        )

    def test_loops_and_dead_ends_are_told_one_by_one_when_it_keeps_going(self):
        os.makedirs(os.path.join(self.folder, "d/e/f"))
        self.link("../..", "d/e/f/up")
        self.link("../../e", "d/e/f/up-too")
        self.link("round", "d/round")
        self.link("nowhere", "d/to-nowhere")
        done = self.treesum("-L", "-k", "d")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr.decode().splitlines(),
            [
                "treesum: d/e/f/up: a loop of links: this is d/ again",
                "treesum: d/e/f/up-too: a loop of links: this is d/e/ again",
                "treesum: d/round: Too many levels of symbolic links",
                "treesum: d/to-nowhere: No such file or directory",
            ],
        )
        self.assertEqual(done.stdout, line_of(b"d/file", b"content"))


class Problems(TreesumTest):
    def without_roots_rights(self):
        """Keywords that run treesum without root's right to read what its mode forbids."""
        if os.getuid() != 0:
            return {}
        libc = ctypes.CDLL(None, use_errno=True)
        drop, cap_dac_override, cap_dac_read_search = 24, 1, 2  # PR_CAPBSET_DROP, see prctl(2)

        def forgo():
            for capability in cap_dac_override, cap_dac_read_search:
                if libc.prctl(drop, capability, 0, 0, 0) != 0:
                    raise OSError(ctypes.get_errno(), "prctl")

        locked = os.path.join(self.folder, "locked")
        self.write("locked")
        os.chmod(locked, 0)
        try:
            if subprocess.run(["cat", locked], capture_output=True, preexec_fn=forgo).returncode:
                return {"preexec_fn": forgo}
        except subprocess.SubprocessError:
            pass
        self.skipTest("root cannot do without its rights here")

    def test_a_missing_path(self):
        self.assertEqual(self.fails("nope"), ["treesum: nope: No such file or directory"])
        self.assertEqual(self.fails(""), ["treesum: : No such file or directory"])

    def test_a_missing_path_after_good_ones_leaves_their_lines_whole(self):
        self.write("good")
        done = self.treesum("-j", "1", "good", "nope", "good")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"treesum: nope: No such file or directory\n")
        self.assertEqual(done.stdout, line_of(b"good", b"x"))

    def test_a_path_through_a_file(self):
        self.write("file")
        self.assertEqual(self.fails("file/below"), ["treesum: file/below: Not a directory"])

    def test_an_unreadable_file_and_an_unreadable_directory(self):
        self.write("d/a")
        self.write("d/secret")
        self.write("d/z/hidden")
        os.chmod(os.path.join(self.folder, "d/secret"), 0)
        os.chmod(os.path.join(self.folder, "d/z"), 0)
        self.addCleanup(os.chmod, os.path.join(self.folder, "d/z"), 0o755)
        limits = self.without_roots_rights()
        self.assertEqual(
            self.fails("d/secret", **limits), ["treesum: d/secret: Permission denied"]
        )
        self.assertEqual(self.fails("d/z", **limits), ["treesum: d/z: Permission denied"])
        self.assertEqual(
            self.fails("-k", "d", **limits),
            ["treesum: d/secret: Permission denied", "treesum: d/z: Permission denied"],
        )

    def test_a_file_that_opens_but_cannot_be_read(self):
        path = "/proc/self/mem"
        try:
            with open(path, "rb", buffering=0) as file:
                file.read(1)
            self.skipTest("it can be read here")
        except FileNotFoundError:
            self.skipTest("no such file here")
        except OSError as problem:
            if not isinstance(problem, PermissionError):
                self.assertEqual(self.fails(path), [f"treesum: {path}: {problem.strerror}"])

    def test_the_first_problem_stops_it_wherever_it_is(self):
        for i in range(2000):
            self.write(f"d/{i:04}")
        lines = self.fails("nope", "d", "neither")
        self.assertEqual(len(lines), 1)

    def test_keep_going_tells_each_problem_in_order_and_does_the_rest(self):
        for i in range(100):
            self.write(f"d/{i:02}", b"%d" % i)
        roots = [f"{kind}/{i:02}" for i in range(100) for kind in ("d", "nope")]
        for jobs in "1", "7":
            done = self.treesum("-j", jobs, "--keep-going", *roots)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(
                done.stderr.decode().splitlines(),
                [f"treesum: nope/{i:02}: No such file or directory" for i in range(100)],
            )
            self.assertEqual(
                done.stdout, b"".join(line_of(b"d/%02d" % i, b"%d" % i) for i in range(100))
            )

    def test_a_name_cannot_break_the_line_that_tells_of_it(self):
        self.assertEqual(
            self.fails("a\nb\\c\rd\x1be"),
            ["treesum: a\\nb\\\\c\\x0dd\\x1be: No such file or directory"],
        )

    def test_files_that_vanish_and_change_meanwhile(self):
        # Standard output is a pipe that nobody reads: one job stops at some 500 files, while the
        # walk has seen them all. What happens to the later ones is then sure to be in between.
        name = "n" * 100
        for i in range(3000):
            self.write(f"d/{i:04}{name}")
        process = self.start(
            "-j", "1", "--keep-going", "d", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.wait_until_it_rests(process)
        gone, directory, pipe = (os.path.join(self.folder, f"d/{i}{name}") for i in (2997, 2998, 2999))
        os.remove(gone)
        os.remove(directory)
        os.mkdir(directory)
        os.remove(pipe)
        os.mkfifo(pipe)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(
            err.decode().splitlines(),
            [
                f"treesum: d/2997{name}: No such file or directory",
                f"treesum: d/2998{name}: is a directory",
                f"treesum: d/2999{name}: not a regular file",
            ],
        )
        self.assert_whole_lines(out)
        self.assertEqual(out.count(b"\n"), 2997)

    def test_a_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        for i in range(2000):
            self.write(f"d/{i}")
        for option in "-j4", "-k":
            with open("/dev/full", "wb") as full:
                done = self.treesum(option, "d", stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(
                done.stderr, b"treesum: standard output: No space left on device\n"
            )

    def test_a_full_disk_where_a_check_says_that_all_is_well(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        self.write("file")
        self.write("list", line_of(b"file", b"x"))
        with open("/dev/full", "wb") as full:
            done = self.treesum("--check", "list", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"treesum: standard output: No space left on device\n")

    def test_standard_streams_that_are_closed(self):
        self.write("file")
        done = self.treesum("file", preexec_fn=lambda: os.close(1))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"treesum: standard output: Bad file descriptor\n")
        done = self.treesum("file", preexec_fn=lambda: os.close(2))
        self.assertEqual((done.returncode, done.stdout), (0, line_of(b"file", b"x")))
        done = self.treesum("file", preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(done.returncode, 1)

    def test_wrong_usage_is_one_line_and_status_2(self):
        self.write("file")
        for arguments in (
            [],
            ["-j", "0", "file"],
            ["-j", "-1", "file"],
            ["-j", "many", "file"],
            ["-j", "1.5", "file"],
            ["-j", "4x", "file"],
            ["-j", "", "file"],
            ["-j", "99999999999999999999", "file"],
            ["file", "-j"],
            ["--bogus", "file"],
            ["--check", ""],
            ["file", "--check"],
            ["--trace", "", "file"],
            ["file", "--trace"],
        ):
            with self.subTest(arguments):
                self.assertEqual(len(self.fails(*arguments, status=2)), 1)

    def test_help(self):
        text = self.succeeds("--help").decode()
        for word in "--jobs", "--keep-going", "--check", "--follow", "--trace", "PATH", "130":
            self.assertIn(word, text)


class Check(TreesumTest):
    def setUp(self):
        super().setUp()
        for name in AWKWARD_NAMES:
            self.write(b"d/" + name, name)
        self.list = self.succeeds("d")
        self.write("list", self.list)

    def test_a_tree_as_listed(self):
        expected = b"%d files, all as listed\n" % len(AWKWARD_NAMES)
        self.assertEqual(self.succeeds("--check", "list"), expected)
        self.assertEqual(self.succeeds("--check", "list", "d"), expected)
        self.assertEqual(self.succeeds("--check", "-", input=self.list), expected)

    def test_a_list_of_sha256sum_itself(self):
        names = [b"d/" + name for name in AWKWARD_NAMES]
        self.write("theirs", self.sha256sum("--binary", "--", *names).stdout)
        self.succeeds("--check", "theirs")

    def test_line_ends_comments_digits_in_capitals_and_no_last_newline(self):
        self.write("file", b"x")
        digits = hashlib.sha256(b"x").hexdigest().encode()
        self.write(
            "other",
            b"# a comment\r\n\n" + digits.upper() + b"  file\r\n" + digits + b" *file\n"
            + digits + b"  file",
        )
        self.assertEqual(self.succeeds("--check", "other"), b"3 files, all as listed\n")

    def test_a_changed_file_is_named(self):
        self.write("d/plain", b"something else")
        self.assertEqual(
            self.fails("--check", "list"), ["treesum: d/plain: differs from the list"]
        )

    def test_a_missing_file_is_named(self):
        os.remove(os.path.join(self.folder, "d/plain"))
        self.assertEqual(
            self.fails("--check", "list"), ["treesum: d/plain: No such file or directory"]
        )

    def test_a_file_that_is_not_in_the_list_is_named(self):
        self.write("d/new")
        self.succeeds("--check", "list")
        self.assertEqual(
            self.fails("--check", "list", "d"), ["treesum: d/new: is not in the list"]
        )

    def test_broken_lines_are_named_by_their_number(self):
        digits = b"0" * 64
        for broken in (
            b"nonsense",
            b"   ",
            digits,
            digits + b"  ",
            digits + b" d/plain",
            digits + b"\td/plain",
            digits + b"- d/plain",
            digits[:-1] + b"  d/plain",
            digits[:-1] + b"g  d/plain",
            digits + b"0  d/plain",
            b"\\",
            b"\\" + digits + b"  d/pl\\ain",
            b"\\" + digits + b"  d/plain\\",
            digits + b"  d/pl\0ain",
            b"SHA1 (d/plain) = " + b"0" * 40,
            os.urandom(300).replace(b"\n", b"?").replace(b"#", b"?"),
            b"x" * 1_000_000,
        ):
            with self.subTest(broken[:80]):
                self.write("broken", self.list + broken + b"\n" + self.list)
                number = self.list.count(b"\n") + 1
                self.assertEqual(
                    self.fails("--check", "broken"),
                    [f"treesum: broken: line {number} is not a line of sha256sum's"],
                )

    def test_keep_going_names_everything_in_order(self):
        self.write("d/plain", b"something else")
        os.remove(os.path.join(self.folder, "d/tab\t"))
        self.write(b"d/new\nline", b"something else")
        self.write("d/extra")
        self.write("list", b"broken\n" + self.list)
        self.assertEqual(
            self.fails("--keep-going", "--check", "list", "d"),
            [
                "treesum: list: line 1 is not a line of sha256sum's",
                "treesum: d/new\\nline: differs from the list",
                "treesum: d/plain: differs from the list",
                "treesum: d/tab\\x09: No such file or directory",
                "treesum: d/extra: is not in the list",
            ],
        )

    def test_a_list_that_cannot_be_read(self):
        self.assertEqual(
            self.fails("--check", "nope"), ["treesum: nope: No such file or directory"]
        )
        self.assertEqual(self.fails("--check", "d"), ["treesum: d: Is a directory"])
        self.assertEqual(self.fails("-k", "--check", "d"), ["treesum: d: Is a directory"])

    def test_a_list_of_nothing_proves_nothing(self):
        self.write("empty", b"")
        self.write("comments", b"# only\n\n")
        self.assertEqual(
            self.fails("--check", "empty"), ["treesum: empty: there is no checksum in it"]
        )
        self.assertEqual(
            self.fails("--check", "comments"), ["treesum: comments: there is no checksum in it"]
        )


class Terminal(TreesumTest):
    def on_a_terminal(self, *arguments, stdout=subprocess.DEVNULL):
        """Runs treesum with standard error on a terminal. What appeared there, and the status."""
        ours, theirs = pty.openpty()
        process = self.start(*arguments, stdout=stdout, stderr=theirs)
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux tells the end of a terminal by EIO
                break
            if not piece:
                break
            seen += piece
        os.close(ours)
        return seen.decode(), process.wait(timeout=PATIENCE)

    def test_progress_tells_files_bytes_and_rate_on_a_terminal(self):
        self.write("d/1", b"x" * 1000)
        self.write("d/2", b"x" * 500)
        seen, status = self.on_a_terminal("d")
        self.assertEqual(status, 0)
        self.assertRegex(seen, r"2 files, 1\.50 kB, [0-9.]+ .?B/s\r\n$")

    def test_progress_is_rewritten_while_it_works(self):
        with open(os.path.join(self.folder, "big"), "wb") as file:
            file.truncate(3 << 30)
        seen, status = self.on_a_terminal("big")
        self.assertEqual(status, 0)
        self.assertGreater(seen.count("\r\x1b[K"), 2)
        self.assertRegex(seen, r"1 file, 3\.22 GB, [0-9.]+ .B/s\r\n$")

    def test_errors_stand_on_lines_of_their_own(self):
        seen, status = self.on_a_terminal("-k", "nope")
        self.assertEqual(status, 1)
        self.assertIn("treesum: nope: No such file or directory\r\n", seen)

    def test_without_a_terminal_there_is_no_progress(self):
        with open(os.path.join(self.folder, "big"), "wb") as file:
            file.truncate(1 << 30)
        self.succeeds("big")  # which looks at standard error


class Interrupted(TreesumTest):
    def big_file(self, name="big"):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.truncate(1 << 40)  # a hole that takes minutes to read

    def wait_until_it_works(self, process):
        """Until it has read something of the big file."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                with open(f"/proc/{process.pid}/io", encoding="ascii") as file:
                    read = int(file.readline().split()[1])
                if read > 10_000_000:
                    return
            except OSError:
                time.sleep(0.5)
                return
            time.sleep(0.01)
        self.fail("it never began")

    def interrupt(self, *arguments, number=signal.SIGINT):
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_until_it_works(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(err, b"")
        self.assert_whole_lines(out)
        return process.returncode, out

    def test_ctrl_c_stops_within_a_file_and_exits_130(self):
        self.big_file()
        for jobs in "1", "2", "4", "16":
            self.assertEqual(self.interrupt("-j", jobs, "big")[0], 130)
        self.assertEqual(self.interrupt("--keep-going", "big")[0], 130)

    def test_termination_exits_143(self):
        self.big_file()
        self.assertEqual(self.interrupt("big", number=signal.SIGTERM)[0], 143)

    def test_lines_that_were_done_are_kept(self):
        for i in range(100):
            self.write(f"d/{i:02}", b"%d" % i)
        self.big_file()
        status, out = self.interrupt("-j", "1", "d", "big")
        self.assertEqual(status, 130)
        self.assertEqual(out, b"".join(line_of(b"d/%02d" % i, b"%d" % i) for i in range(100)))

    def test_a_check_is_interrupted_too(self):
        self.big_file()
        self.write("list", b"0" * 64 + b"  big\n")
        self.assertEqual(self.interrupt("--check", "list"), (130, b""))

    def test_a_check_that_waits_for_its_list(self):
        process = self.start(
            "--check", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.wait_until_it_rests(process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)

    def test_no_half_line_is_left_in_a_pipe_that_nobody_reads(self):
        for i in range(3000):
            self.write(f"d/{i:04}" + "n" * 100)
        process = self.start("d", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_until_it_rests(process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)  # before anything was read
        out, err = process.communicate()
        self.assertEqual(err, b"")
        self.assertGreater(out.count(b"\n"), 300)
        self.assert_whole_lines(out)

    def test_a_signal_at_any_moment(self):
        for i in range(500):
            self.write(f"d/{i}", os.urandom(1000))
        whole = self.succeeds("d")
        for delay in range(0, 40, 2):
            process = self.start("d", "d", "d", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(delay / 1000)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
            # Killed before main ran, stopped, or done before it came.
            self.assertIn(process.returncode, (-signal.SIGINT, 130, 0))
            self.assertEqual(err, b"")
            self.assert_whole_lines(out)
            self.assertTrue((whole * 3).startswith(out))


class Traces(TreesumTest):
    def tasks(self):
        with open(os.path.join(self.folder, "run.json"), encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        return sorted(e["name"] for e in events if e["ph"] == "X" and e["cat"] == "task")

    def test_each_file_is_a_task_in_the_timeline(self):
        for i in range(50):
            self.write(f"d/{i:02}")
        plain = self.succeeds("d")
        self.assertEqual(self.succeeds("--trace", "run.json", "d"), plain)
        self.assertEqual(self.tasks(), [f"d/{i:02}" for i in range(50)])

    def test_names_that_are_not_utf_8(self):
        for name in AWKWARD_NAMES:
            self.write(b"d/" + name)
        self.succeeds("--trace", "run.json", "d")
        self.assertEqual(len(self.tasks()), len(AWKWARD_NAMES))

    def test_it_is_written_after_a_problem(self):
        self.write("file")
        self.fails("--trace", "run.json", "-k", "file", "nowhere")
        self.assertEqual(self.tasks(), ["a problem", "file"])

    def test_a_file_that_cannot_be_opened_is_a_problem(self):
        self.write("file")
        (line,) = self.fails("--trace", "nowhere/run.json", "file")
        self.assertIn("cannot open 'nowhere/run.json' for writing: No such file", line)


if __name__ == "__main__":
    if not os.access(TREESUM, os.X_OK):
        sys.exit(f"treesum_test.py: TREESUM={TREESUM} is no program")
    unittest.main(verbosity=2)
