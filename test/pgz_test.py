"""What examples/pgz promises, with the real gzip as the judge. Run by ctest, or by hand:

    PGZ=build/gcc-release/examples/pgz PGZ_NO_TMPFILE=build/gcc-release/examples/libpgz_no_tmpfile.so \
        python3 test/pgz_test.py
"""

import ctypes
import gzip
import os
import pty
import random
import resource
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

PGZ = os.path.abspath(os.environ.get("PGZ", "pgz"))
NO_TMPFILE = os.path.abspath(os.environ.get("PGZ_NO_TMPFILE", "libpgz_no_tmpfile.so"))
PATIENCE = 120  # seconds until a test gives up on a process; none takes a noticeable part of it
BLOCK = 128 * 1024  # of the input, deflated as one piece
JOBS = "1", "4"


def noise(size, seed=1):
    """Bytes that cannot be compressed, the same every time."""
    return random.Random(seed).randbytes(size)


def text(size, seed=1):
    """Bytes that can be compressed, with matches across the borders of the blocks."""
    words = [noise(9, seed + i).hex().encode() for i in range(500)]
    draw = random.Random(seed)
    return b" ".join(draw.choices(words, k=size // 19 + 1))[:size]


INPUTS = {
    "empty": b"",
    "one byte": b"x",
    "short": b"hello\n",
    "incompressible": noise(1_000_003),
    "text": text(2_000_003),
    "zeros": bytes(3_000_000),
    "one block less a byte": text(BLOCK - 1),
    "one block": text(BLOCK),
    "one block and a byte": text(BLOCK + 1),
    "two blocks": noise(2 * BLOCK),
    "many blocks": text(9 * BLOCK),
}


class PgzTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pgz-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)

    # Helpers. Every path is relative to self.folder, where every process runs.

    def full(self, path):
        return os.path.join(self.folder, path)

    def write(self, path, content=b"x"):
        with open(self.full(path), "wb") as file:
            file.write(content)

    def read(self, path):
        with open(self.full(path), "rb") as file:
            return file.read()

    def names(self):
        return sorted(os.listdir(self.folder))

    def run_program(self, program, *arguments, **keywords):
        if "input" not in keywords:
            keywords.setdefault("stdin", subprocess.DEVNULL)
        keywords.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(
            [program, *arguments],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            **keywords,
        )

    def start(self, *arguments, **keywords):
        process = subprocess.Popen([PGZ, *arguments], cwd=self.folder, **keywords)

        def end():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

        self.addCleanup(end)
        return process

    def succeeds(self, *arguments, **keywords):
        done = self.run_program(PGZ, *arguments, **keywords)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def fails(self, *arguments, status=1, **keywords):
        """The lines on standard error, which are pgz's own and whole."""
        done = self.run_program(PGZ, *arguments, **keywords)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.endswith(b"\n"), done.stderr)
        lines = done.stderr.decode(errors="replace").splitlines()
        for line in lines:
            self.assertRegex(line, r"^pgz: .")
        return lines

    def real_gzip(self, *arguments, **keywords):
        return self.run_program("gzip", *arguments, **keywords)

    def gunzip(self, packed):
        """What the real gzip makes of it."""
        done = self.real_gzip("-dc", input=packed)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def without_roots_rights(self):
        """Keywords that run pgz without root's right to do what a mode forbids."""
        if os.getuid() != 0:
            return {}
        libc = ctypes.CDLL(None, use_errno=True)
        drop, cap_dac_override, cap_dac_read_search = 24, 1, 2  # PR_CAPBSET_DROP, see prctl(2)

        def forgo():
            for capability in cap_dac_override, cap_dac_read_search:
                if libc.prctl(drop, capability, 0, 0, 0) != 0:
                    raise OSError(ctypes.get_errno(), "prctl")

        return {"preexec_fn": forgo}


class RoundTrips(PgzTest):
    def test_gzip_reads_what_pgz_writes(self):
        for name, content in INPUTS.items():
            for jobs in JOBS:
                with self.subTest(name, jobs=jobs):
                    self.write("file", content)
                    self.assertEqual(self.succeeds("-j", jobs, "file"), b"")
                    self.assertEqual(self.names(), ["file.gz"])
                    self.assertEqual(self.real_gzip("-t", "file.gz").returncode, 0)
                    self.assertEqual(self.real_gzip("-d", "file.gz").returncode, 0)
                    self.assertEqual(self.read("file"), content)

    def test_pgz_reads_what_gzip_writes(self):
        for name, content in INPUTS.items():
            for jobs in JOBS:
                with self.subTest(name, jobs=jobs):
                    self.write("file", content)
                    self.assertEqual(self.real_gzip("file").returncode, 0)
                    self.assertEqual(self.succeeds("-j", jobs, "-t", "file.gz"), b"")
                    self.assertEqual(self.succeeds("-j", jobs, "-d", "file.gz"), b"")
                    self.assertEqual(self.names(), ["file"])
                    self.assertEqual(self.read("file"), content)

    def test_standard_input_to_standard_output(self):
        for name, content in INPUTS.items():
            for jobs in JOBS:
                with self.subTest(name, jobs=jobs):
                    packed = self.succeeds("-j", jobs, input=content)
                    self.assertEqual(self.gunzip(packed), content)
                    self.assertEqual(self.succeeds("-dj", jobs, input=packed), content)
                    self.assertEqual(self.succeeds("-", "-cj", jobs, input=content), packed)
        self.assertEqual(self.names(), [])

    def test_the_number_of_jobs_does_not_change_the_output(self):
        content = text(20 * BLOCK + 17)
        packed = self.succeeds("-j", "1", input=content)
        for jobs in "2", "3", "16":
            self.assertEqual(self.succeeds("-j", jobs, input=content), packed)

    def test_every_level(self):
        content = text(5 * BLOCK + 5)
        sizes = []
        for level in range(1, 10):
            packed = self.succeeds(f"-{level}", input=content)
            self.assertEqual(self.gunzip(packed), content)
            sizes.append(len(packed))
        self.assertGreater(sizes[0], sizes[8])
        self.assertEqual(self.succeeds("--fast", input=content), self.succeeds("-1", input=content))
        self.assertEqual(self.succeeds("--best", input=content), self.succeeds("-9", input=content))
        self.assertEqual(self.succeeds(input=content), self.succeeds("-1", "-6", input=content))

    def test_blocks_know_the_end_of_the_block_before(self):
        # Two copies of 20 KiB of noise on both sides of a border: only the dictionary finds the second.
        content = noise(BLOCK - 20_000) + 2 * noise(20_000, seed=2)
        self.assertLess(len(self.succeeds(input=content)), BLOCK + 2000)


class Sparse(PgzTest):
    def test_one_gigabyte_of_a_hole_with_one_job(self):
        self.big_hole("-j1", "-1")

    def test_one_gigabyte_of_a_hole_with_four_jobs(self):
        self.big_hole("-j4", "-1")

    def big_hole(self, *options):
        with open(self.full("hole"), "wb") as file:
            file.truncate(1 << 30)
        self.succeeds("-k", *options, "hole")
        self.assertLess(os.path.getsize(self.full("hole.gz")), 10_000_000)
        compare = self.run_program("sh", "-c", "gzip -dc hole.gz | cmp - hole")
        self.assertEqual((compare.returncode, compare.stdout + compare.stderr), (0, b""))
        self.succeeds("-t", *options, "hole.gz")


class Members(PgzTest):
    """Decompression, beside the real gzip."""

    def as_gzip(self, packed, status, line):
        """Both programs have the same status and output; the last line of gzip's is pgz's line."""
        for jobs in JOBS:
            ours = self.run_program(PGZ, "-dcj", jobs, input=packed)
            theirs = self.real_gzip("-dc", input=packed)
            self.assertEqual(ours.returncode, status, ours.stderr)
            self.assertEqual(theirs.returncode, status, theirs.stderr)
            self.assertEqual(ours.stdout, theirs.stdout)
            self.assertEqual(ours.stderr.decode(), f"pgz: {line}\n" if line else "")
            told = theirs.stderr.decode().splitlines()[-1:]
            self.assertEqual(told, [f"gzip: {line}"] if line else [])
            # The same with a file, and without output.
            self.write("file.gz", packed)
            done = self.run_program(PGZ, "-tj", jobs, "file.gz")
            self.assertEqual((done.returncode, done.stdout), (status, b""))
            self.assertEqual(done.stderr, ours.stderr.replace(b"stdin", b"file.gz"))

    def test_members_in_a_row(self):
        parts = [INPUTS["text"], b"", b"x", INPUTS["incompressible"]]
        packed = b"".join(gzip.compress(part) for part in parts)
        self.as_gzip(packed, 0, "")
        self.assertEqual(self.succeeds("-d", input=packed), b"".join(parts))

    def test_thousands_of_tiny_members(self):
        self.as_gzip(gzip.compress(b"abc") * 5000, 0, "")

    def test_members_of_pgz_in_a_row(self):
        packed = self.succeeds(input=text(300_000)) + self.succeeds(input=b"more")
        self.assertEqual(self.gunzip(packed), text(300_000) + b"more")
        self.as_gzip(packed, 0, "")

    def test_zero_bytes_at_the_end_are_ignored(self):
        for count in 1, 2, 512, 3 * BLOCK:
            self.as_gzip(gzip.compress(b"abc") + bytes(count), 0, "")

    def test_garbage_at_the_end_is_a_warning(self):
        words = "stdin: decompression OK, trailing garbage ignored"
        packed = gzip.compress(text(300_000))
        self.as_gzip(packed + b"garbage", 2, words)
        self.as_gzip(packed + b"\0\0garbage", 2, words)
        self.as_gzip(packed + b"\0" + packed, 2, words)
        self.as_gzip(packed + b"\x1fx", 2, words)

    def test_truncated_input(self):
        # gzip gives the data before the break, and so does pgz.
        whole = gzip.compress(text(700_000)) + gzip.compress(b"more")
        for size in 0, 1, 2, 5, 9, 10, 11, 50_000, len(whole) - 30, len(whole) - 25, len(whole) - 1:
            with self.subTest(size=size):
                self.as_gzip(whole[:size], 1, "stdin: unexpected end of file")

    def test_a_wrong_checksum(self):
        packed = bytearray(gzip.compress(text(700_000)))
        packed[-8] ^= 1
        self.as_gzip(packed, 1, "stdin: invalid compressed data--crc error")

    def test_a_wrong_checksum_of_an_earlier_member(self):
        packed = bytearray(gzip.compress(b"abc"))
        packed[-6] ^= 0x80
        self.fails("-t", input=bytes(packed + gzip.compress(b"def")))

    def test_a_wrong_length(self):
        packed = bytearray(gzip.compress(text(700_000)))
        packed[-1] ^= 1
        self.as_gzip(packed, 1, "stdin: invalid compressed data--length error")

    def test_corrupt_data(self):
        packed = bytearray(gzip.compress(b"abc"))
        packed[10] = 0x07  # a block of a type that there is not
        self.as_gzip(packed, 1, "stdin: invalid compressed data--format violated")

    def test_a_flipped_bit_anywhere_is_found(self):
        packed = gzip.compress(text(2000))
        found = 0
        for place in range(10, len(packed)):
            broken = bytearray(packed)
            broken[place] ^= 1 << place % 8
            done = self.run_program(PGZ, "-dc", input=bytes(broken))
            if done.returncode == 0:  # a bit behind the end of the data, in their last byte
                self.assertEqual(done.stdout, text(2000))
                self.assertEqual(self.real_gzip("-t", input=bytes(broken)).returncode, 0)
                continue
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rb"\Apgz: stdin: .+\n\Z")
            found += 1
        self.assertGreaterEqual(found, len(packed) - 11)

    def test_other_formats(self):
        self.as_gzip(b"something else", 1, "stdin: not in gzip format")
        self.as_gzip(bytes(100), 1, "stdin: not in gzip format")
        packed = bytearray(gzip.compress(b"abc"))
        packed[2] = 7
        self.as_gzip(packed, 1, "stdin: unknown method 7 -- not supported")
        packed[2:4] = 8, 0xC0
        self.assertEqual(
            self.fails("-t", input=bytes(packed)), ["pgz: stdin: has flags 0xc0 -- not supported"]
        )

    def test_every_field_of_a_header(self):
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(b"abc") + deflate.flush()
        fields = b"\x05\0extra" + b"name\0" + b"comment\0"
        header = b"\x1f\x8b\x08\x1e\1\2\3\4\0\3" + fields
        check = (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
        trailer = zlib.crc32(b"abc").to_bytes(4, "little") + b"\3\0\0\0"
        self.as_gzip(header + check + data + trailer, 0, "")
        broken = bytes([check[0] ^ 1, check[1]])
        self.assertEqual(
            self.fails("-t", input=header + broken + data + trailer),
            ["pgz: stdin: invalid header--crc error"],
        )
        for size in range(len(header + check)):
            self.fails("-t", input=(header + check)[:size])


class Files(PgzTest):
    def test_the_header_is_that_of_gzip(self):
        self.write("file", b"hello\n")
        for level in "-1", "-6", "-9":
            ours = self.succeeds("-c", level, "file")
            theirs = self.real_gzip("-c", level, "file").stdout
            self.assertEqual(ours[:15], theirs[:15])
            self.assertEqual(ours[10:15], b"file\0")
        for program in PGZ, "gzip":  # of standard input: the time of the file, but no name
            with open(self.full("file"), "rb") as file:
                packed = self.run_program(program, stdin=file).stdout
            self.assertEqual(packed[:10], ours[:3] + b"\0" + ours[4:8] + b"\0\3")

    def test_mode_times_and_owner_are_those_of_the_input(self):
        self.write("file", text(300_000))
        os.chmod(self.full("file"), 0o640)
        if os.getuid() == 0:
            os.chown(self.full("file"), 1234, 4321)
        os.utime(self.full("file"), ns=(1_234_567_890_123_456_789, 1_034_567_890_987_654_321))
        before = os.stat(self.full("file"))
        for arguments, name in (["file"], "file.gz"), (["-d", "file.gz"], "file"):
            self.succeeds(*arguments)
            after = os.stat(self.full(name))
            for field in "st_mode", "st_uid", "st_gid", "st_mtime_ns":
                self.assertEqual(getattr(after, field), getattr(before, field), field)
        self.assertEqual(stat.S_IMODE(after.st_mode), 0o640)

    def test_the_access_time_is_that_of_the_input_before_it_was_read(self):
        self.write("file")
        os.utime(self.full("file"), ns=(1_234_567_890_123_456_789, 1_034_567_890_987_654_321))
        self.succeeds("file")
        self.assertEqual(os.stat(self.full("file.gz")).st_atime_ns, 1_234_567_890_123_456_789)

    def test_keep_stdout_and_test_leave_the_input(self):
        self.write("file", b"abc")
        self.succeeds("-k", "file")
        self.assertEqual(self.names(), ["file", "file.gz"])
        os.remove(self.full("file"))
        self.succeeds("-t", "file.gz")
        self.assertEqual(self.names(), ["file.gz"])
        self.assertEqual(self.succeeds("-dc", "file.gz"), b"abc")
        self.assertEqual(self.names(), ["file.gz"])
        self.succeeds("-dk", "file.gz")
        self.assertEqual(self.names(), ["file", "file.gz"])

    def test_several_files_and_the_rest_after_a_failure(self):
        for name in "1", "2", "3":
            self.write(name, text(200_000, seed=int(name)))
        self.assertEqual(self.fails("1", "nope", "2", "3"), ["pgz: nope: No such file or directory"])
        self.assertEqual(self.names(), ["1.gz", "2.gz", "3.gz"])
        everything = self.succeeds("-dc", "1.gz", "2.gz", "3.gz")
        self.assertEqual(everything, b"".join(text(200_000, seed=i) for i in (1, 2, 3)))

    def test_names_of_every_kind(self):
        names = ["-leading dash", "new\nline", "[a,b]", "{}", "a b", "--", "größe", "-9", "x" * 252]
        for name in names:
            self.write(name, name.encode())
        self.succeeds("--", *names)
        self.assertEqual(self.names(), sorted(name + ".gz" for name in names))
        self.succeeds("-d", "--", *(name + ".gz" for name in names))
        for name in names:
            self.assertEqual(self.read(name), name.encode())

    def test_suffixes(self):
        for names in "a-gz a", "b.z b", "c_z c", "d.tgz d.tar", "e.taz e.tar":
            packed, plain = names.split()
            self.write(packed, gzip.compress(b"abc"))
            self.succeeds("-d", packed)
            self.assertEqual(self.names(), [plain])
            os.remove(self.full(plain))

    def test_a_name_without_its_suffix(self):
        self.write("file.gz", gzip.compress(b"abc"))
        self.succeeds("-d", "file")
        self.assertEqual(self.names(), ["file"])

    def test_a_linked_file_is_followed_with_force_only(self):
        self.write("file", b"abc")
        os.symlink("file", self.full("link"))
        self.assertEqual(self.fails("-k", "link"), ["pgz: link: is a symbolic link; -f or -c follows it"])
        self.assertEqual(self.gunzip(self.succeeds("-c", "link")), b"abc")
        self.succeeds("-kf", "link")
        self.assertEqual(self.gunzip(self.read("link.gz")), b"abc")

    def test_force_replaces_the_output(self):
        self.write("file", b"new")
        self.write("file.gz", b"old")
        with open(self.full("file.gz"), "rb") as before:
            self.succeeds("-f", "file")
            self.assertEqual(before.read(), b"old")  # it was not written into
        self.assertEqual(self.gunzip(self.read("file.gz")), b"new")
        self.assertEqual(self.names(), ["file.gz"])

    def test_stats_are_a_table(self):
        self.write("file", text(10 * BLOCK))
        done = self.run_program(PGZ, "-k", "--stats", "file")
        self.assertEqual(done.returncode, 0)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(lines[0], "pgz: file")
        for stage in "read", "deflate", "write":
            self.assertTrue(any(line.startswith(stage) for line in lines), lines)
        done = self.run_program(PGZ, "-t", "--stats", "file.gz")
        for stage in b"inflate", b"check", b"write":
            self.assertIn(b"\n" + stage, done.stderr)

    def test_help_and_wrong_usage(self):
        self.assertIn(b"--stats", self.succeeds("--help"))
        for wrong in ["--bogus"], ["-x"], ["-j"], ["-j", "0"], ["-j", "many"]:
            self.assertEqual(len(self.fails(*wrong)), 1)


class Problems(PgzTest):
    def nothing_changes(self, *arguments, status=1, **keywords):
        """The lines on standard error of a call that leaves every file as it was."""
        before = {name: os.lstat(self.full(name)) for name in self.names()}
        lines = self.fails(*arguments, status=status, **keywords)
        after = {name: os.lstat(self.full(name)) for name in self.names()}
        self.assertEqual(before.keys(), after.keys())
        for name, about in before.items():
            for field in "st_ino", "st_size", "st_mtime_ns", "st_mode":
                self.assertEqual(getattr(about, field), getattr(after[name], field), name)
        return lines

    def test_a_missing_file(self):
        self.assertEqual(self.nothing_changes("nope"), ["pgz: nope: No such file or directory"])
        self.assertEqual(self.nothing_changes("-d", "nope"), ["pgz: nope.gz: No such file or directory"])
        self.assertEqual(self.nothing_changes("-d", "no.gz"), ["pgz: no.gz: No such file or directory"])

    def test_a_directory(self):
        os.mkdir(self.full("d"))
        for arguments in [], ["-d"], ["-t"], ["-c"], ["-f"]:
            self.assertEqual(
                self.nothing_changes(*arguments, "d", status=2), ["pgz: d is a directory -- ignored"]
            )

    def test_a_fifo(self):
        os.mkfifo(self.full("fifo"))
        for arguments in [], ["-d"], ["-t"], ["-c"], ["-f"]:
            self.assertEqual(
                self.nothing_changes(*arguments, "fifo", status=2),
                ["pgz: fifo is not a directory or a regular file - ignored"],
            )

    def test_no_permission_to_read(self):
        self.write("secret")
        os.chmod(self.full("secret"), 0)
        self.assertEqual(
            self.nothing_changes("secret", **self.without_roots_rights()),
            ["pgz: secret: Permission denied"],
        )

    def test_no_permission_to_write(self):
        self.write("file")
        os.chmod(self.folder, 0o555)
        self.addCleanup(os.chmod, self.folder, 0o755)
        self.assertEqual(
            self.nothing_changes("file", **self.without_roots_rights()),
            ["pgz: file.gz: Permission denied"],
        )

    def test_an_output_that_exists(self):
        self.write("file", b"new")
        self.write("file.gz", b"old")
        self.assertEqual(
            self.nothing_changes("file", status=2), ["pgz: file.gz already exists; not overwritten"]
        )
        self.write("file.gz", gzip.compress(b"old"))
        self.assertEqual(
            self.nothing_changes("-d", "file.gz", status=2), ["pgz: file already exists; not overwritten"]
        )

    def test_an_output_that_is_a_directory(self):
        self.write("file")
        os.mkdir(self.full("file.gz"))
        self.assertEqual(
            self.nothing_changes("file", status=2), ["pgz: file.gz already exists; not overwritten"]
        )
        self.assertEqual(self.nothing_changes("-f", "file"), ["pgz: file.gz: Is a directory"])

    def test_a_suffix_too_many_and_a_suffix_too_few(self):
        self.write("file.gz", gzip.compress(b"x"))
        self.assertEqual(
            self.nothing_changes("file.gz", status=2), ["pgz: file.gz already has .gz suffix -- unchanged"]
        )
        self.write("plain")
        self.assertEqual(
            self.nothing_changes("-d", "plain", status=2), ["pgz: plain: unknown suffix -- ignored"]
        )

    def test_an_output_whose_name_is_too_long(self):
        name = "x" * 255
        with open(self.full(name), "wb") as file:
            file.truncate(1 << 40)  # it is told at the start, not after an hour
        self.assertEqual(self.nothing_changes(name), [f"pgz: {name}.gz: File name too long"])

    def test_an_error_weighs_more_than_a_warning(self):
        os.mkdir(self.full("d"))
        self.assertEqual(len(self.nothing_changes("d", "nope")), 2)
        self.assertEqual(len(self.nothing_changes("nope", "d")), 2)

    def test_a_broken_file_leaves_no_output(self):
        whole = gzip.compress(text(700_000))
        for packed in whole[:-1], whole[:50_000], whole[:-8] + bytes(8), b"no gzip at all":
            for jobs in JOBS:
                self.write("file.gz", packed)
                self.assertRegex(self.nothing_changes("-dj", jobs, "file.gz")[0], "^pgz: file.gz: ")
                self.write("file", b"earlier")
                self.nothing_changes("-dfj", jobs, "file.gz")
                self.assertEqual(self.read("file"), b"earlier")
                os.remove(self.full("file"))

    def test_garbage_at_the_end_of_a_file(self):
        self.write("file.gz", gzip.compress(b"abc") + b"garbage")
        self.assertEqual(
            self.fails("-d", "file.gz", status=2),
            ["pgz: file.gz: decompression OK, trailing garbage ignored"],
        )
        self.assertEqual(self.names(), ["file"])
        self.assertEqual(self.read("file"), b"abc")

    def test_a_full_disk_names_block_stage_and_reason(self):
        self.write("big", noise(30 * BLOCK))
        for jobs in JOBS:
            with open("/dev/full", "wb") as full:
                self.assertEqual(
                    self.nothing_changes("-cj", jobs, "big", stdout=full),
                    ["pgz: stdout: No space left on device (block 0, write)"],
                )
            with open("/dev/full", "wb") as full, open(self.full("big"), "rb") as big:
                self.assertEqual(
                    self.nothing_changes("-j", jobs, stdin=big, stdout=full),
                    ["pgz: stdout: No space left on device (block 0, write)"],
                )
        self.write("big.gz", gzip.compress(noise(30 * BLOCK)))
        with open("/dev/full", "wb") as full:
            self.assertEqual(
                self.nothing_changes("-dc", "big.gz", stdout=full),
                ["pgz: stdout: No space left on device (block 0, write)"],
            )

    def test_no_space_in_the_middle_of_a_file(self):
        # A limit to the size of a file is a full disk that needs no disk of its own.
        self.write("big", noise(30 * BLOCK))
        limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10 * BLOCK,) * 2)}
        for jobs in JOBS:
            self.assertEqual(
                self.nothing_changes("-j", jobs, "big", **limit),
                ["pgz: big.gz: File too large (block 9, write)"],
            )
        self.write("big.gz", b"earlier")
        self.nothing_changes("-f", "big", **limit)
        self.assertEqual(self.read("big.gz"), b"earlier")

    def test_an_input_that_cannot_be_read(self):
        with open("/proc/self/mem", "rb") as unreadable:  # its first page is not there
            self.assertEqual(
                self.nothing_changes(stdin=unreadable), ["pgz: stdin: Input/output error (block 0, read)"]
            )

    def test_messages_that_nobody_reads(self):
        reader, writer = os.pipe()
        os.close(reader)
        self.write("file")
        process = self.start("nope", "file", stderr=writer)
        os.close(writer)
        self.assertEqual(process.wait(timeout=PATIENCE), 1)
        self.assertEqual(self.names(), ["file.gz"])

    def test_streams_that_are_closed(self):
        self.write("file", b"abc")
        for closed, words in (0, "stdin"), (1, "stdout"):
            lines = self.nothing_changes("-", preexec_fn=lambda fd=closed: os.close(fd))
            self.assertEqual(len(lines), 1)
            self.assertRegex(lines[0], f"^pgz: {words}: Bad file descriptor")

    def test_a_failed_output_does_not_wait_for_the_input(self):
        for jobs in JOBS:
            with open("/dev/full", "wb") as full:
                process = self.start("-j", jobs, stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE)
            try:
                process.stdin.write(noise(3 * BLOCK))  # and more may come
                process.stdin.flush()
            except BrokenPipeError:
                pass
            self.assertEqual(process.wait(timeout=PATIENCE), 1)
            self.assertIn(b"No space left on device (block 0, write)", process.stderr.read())

    def test_a_file_that_grows_meanwhile_is_kept(self):
        # pgz has opened the file when it asks the user.
        ours, theirs = pty.openpty()
        self.write("file", b"abc")
        self.write("file.gz", b"old")
        process = self.start("file", stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"(y or n)? " not in seen:
            seen += os.read(ours, 4096)
        self.write("file", b"abcdef")
        os.write(ours, b"y\n")
        self.assertEqual(process.wait(timeout=PATIENCE), 2)
        self.assertIn(b"was changed meanwhile -- not removed", os.read(ours, 4096))
        os.close(ours)
        self.assertEqual(self.names(), ["file", "file.gz"])


class Terminal(PgzTest):
    def on_a_terminal(self, *arguments, answer=b"", **keywords):
        """Runs pgz with standard input and error on a terminal. What appeared there, and the status."""
        ours, theirs = pty.openpty()
        keywords.setdefault("stdin", theirs)
        keywords.setdefault("stdout", subprocess.DEVNULL)
        process = self.start(*arguments, stderr=theirs, **keywords)
        os.close(theirs)
        os.write(ours, answer)
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

    def test_progress_is_rewritten_and_erased(self):
        # pgz waits for the rest of its input until a progress line was seen.
        ours, theirs = pty.openpty()
        process = self.start(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        process.stdin.write(bytes(5_000_000))
        process.stdin.flush()
        seen = b""
        while seen.count(b"/s") < 3:
            seen += os.read(ours, 4096)
        process.stdin.close()
        self.assertEqual(process.wait(timeout=PATIENCE), 0)
        seen += os.read(ours, 4096)
        os.close(ours)
        self.assertRegex(seen.decode(), r"\r\x1b\[Kstdin: [0-9.]+ .?B, [0-9.]+ .?B/s\r")
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen)

    def test_progress_tells_the_part_of_a_file(self):
        # Standard output is a pipe, which is read when the progress was seen.
        self.write("big", noise(4_000_000))
        ours, theirs = pty.openpty()
        process = self.start("-c", "big", stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        seen = b""
        while seen.count(b"/s") < 2:
            seen += os.read(ours, 4096)
        self.assertEqual(self.gunzip(process.stdout.read()), noise(4_000_000))
        os.close(ours)
        self.assertRegex(seen.decode(), r"\r\x1b\[Kbig: [0-9]+ %, [0-9.]+ .?B, [0-9.]+ .?B/s")

    def test_the_user_is_asked_before_the_output_is_overwritten(self):
        question = "pgz: file.gz already exists; do you wish to overwrite (y or n)? "
        for answer in b"n\n", b"\n", b"maybe\n", b"\x04":
            self.write("file", b"new")
            self.write("file.gz", b"old")
            seen, status = self.on_a_terminal("file", answer=answer)
            self.assertIn(question, seen)
            self.assertEqual(status, 2)
            self.assertEqual(self.names(), ["file", "file.gz"])
            self.assertEqual(self.read("file.gz"), b"old")
        seen, status = self.on_a_terminal("file", answer=b"y\n")
        self.assertIn(question, seen)
        self.assertEqual(status, 0)
        self.assertEqual(self.names(), ["file.gz"])
        self.assertEqual(self.gunzip(self.read("file.gz")), b"new")

    def test_ctrl_c_at_the_question(self):
        self.write("file", b"new")
        self.write("file.gz", b"old")
        ours, theirs = pty.openpty()
        process = self.start("file", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"(y or n)? " not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)
        os.close(ours)
        self.assertEqual(self.read("file.gz"), b"old")

    def test_compressed_data_are_not_written_to_a_terminal(self):
        self.write("file", b"abc")
        for arguments in ["-c", "file"], []:
            ours, theirs = pty.openpty()
            done = self.fails(*arguments, stdout=theirs)
            self.assertEqual(done, ["pgz: compressed data not written to a terminal; -f forces it"])
            self.assertEqual(select.select([ours], [], [], 0)[0], [])
            self.succeeds("-f", *arguments, stdout=theirs)
            self.assertTrue(os.read(ours, 4096).startswith(b"\x1f\x8b"))
            os.close(ours)
            os.close(theirs)

    def test_compressed_data_are_not_read_from_a_terminal(self):
        seen, status = self.on_a_terminal("-d")
        self.assertEqual(status, 1)
        self.assertIn("pgz: compressed data not read from a terminal; -f forces it\r\n", seen)


class Interrupted(PgzTest):
    def endless_file(self, name="big"):
        with open(self.full(name), "wb") as file:
            file.truncate(1 << 40)  # a hole that takes an hour to compress

    def endless_archive(self, name="big.gz"):
        member = gzip.compress(bytes(64 << 20), 6)
        with open(self.full(name), "wb") as file:
            for _ in range(200):
                file.write(member)

    def counted(self, process, what):
        with open(f"/proc/{process.pid}/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(what))

    def wait_until_it_works(self, process, what="rchar", amount=10_000_000):
        """Until it has read, or written, so many bytes."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.counted(process, what) > amount:
                return
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        self.fail("it never began")

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

    def interrupt(self, *arguments, number=signal.SIGINT, what="rchar", **keywords):
        """The status of a pgz that was interrupted in the middle of its work, without a word."""
        process = self.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **keywords)
        self.wait_until_it_works(process, what)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(err, b"")
        return process.returncode

    def test_ctrl_c_leaves_no_output(self):
        self.endless_file()
        for jobs in JOBS:
            self.assertEqual(self.interrupt("-j", jobs, "big"), 130)
            self.assertEqual(self.names(), ["big"])

    def test_a_signal_leaves_the_earlier_output(self):
        self.endless_file()
        self.write("big.gz", b"earlier")
        for number, status in [
            (signal.SIGINT, 130),
            (signal.SIGTERM, 143),
            (signal.SIGHUP, 143),
            (signal.SIGKILL, -signal.SIGKILL),
        ]:
            for jobs in JOBS:
                self.assertEqual(self.interrupt("-fj", jobs, "big", number=number), status)
                self.assertEqual(self.names(), ["big", "big.gz"])
                self.assertEqual(self.read("big.gz"), b"earlier")

    def test_a_kill_leaves_no_half_file(self):
        self.endless_file()
        for jobs in JOBS:
            self.assertEqual(self.interrupt("-j", jobs, "big", number=signal.SIGKILL), -signal.SIGKILL)
            self.assertEqual(self.names(), ["big"])

    def test_the_same_when_decompressing(self):
        self.endless_archive()
        for number, status in (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL):
            self.assertEqual(self.interrupt("-d", "big.gz", number=number, what="wchar"), status)
            self.assertEqual(self.names(), ["big.gz"])

    def test_the_files_after_the_interrupted_file_are_left_alone(self):
        self.endless_file()
        self.write("after")
        self.assertEqual(self.interrupt("big", "after"), 130)
        self.assertEqual(self.names(), ["after", "big"])

    def test_an_output_that_appears_meanwhile_stays(self):
        with open(self.full("big"), "wb") as file:
            file.truncate(256 << 20)
        process = self.start("big", stderr=subprocess.PIPE)
        self.wait_until_it_works(process, amount=1_000_000)
        process.send_signal(signal.SIGSTOP)
        self.write("big.gz", b"appeared")
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 2)
        self.assertEqual(err, b"pgz: big.gz already exists; not overwritten\n")
        self.assertEqual(self.names(), ["big", "big.gz"])
        self.assertEqual(self.read("big.gz"), b"appeared")

    def test_while_it_waits_for_its_input(self):
        for arguments in [], ["-d"]:
            process = self.start(
                *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self.wait_until_it_rests(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=PATIENCE), 130)
            self.assertEqual((process.stdout.read(), process.stderr.read()), (b"", b""))

    def test_while_nobody_reads_its_output(self):
        self.write("big", noise(30 * BLOCK))
        process = self.start("-c", "big", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_until_it_rests(process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)
        self.assertEqual(process.stderr.read(), b"")

    def test_a_pipe_that_is_closed_ends_it_silently(self):
        self.endless_file()
        process = self.start("-c", "big", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(1000)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=PATIENCE), -signal.SIGPIPE)
        self.assertEqual(process.stderr.read(), b"")

    def test_a_signal_at_any_moment(self):
        content = text(3_000_000)
        for delay in range(0, 60, 3):
            self.write("file", content)
            process = self.start("file", stderr=subprocess.PIPE)
            time.sleep(delay / 1000)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            # Killed before main ran, interrupted, or done before the signal came.
            self.assertIn(process.returncode, (-signal.SIGINT, 130, 0))
            self.assertEqual(err, b"")
            if self.names() == ["file"]:
                self.assertEqual(self.read("file"), content)
            else:
                self.assertEqual(self.names(), ["file.gz"])
                self.assertEqual(self.gunzip(self.read("file.gz")), content)
                os.remove(self.full("file.gz"))


class WithoutTmpfile(Interrupted):
    """The same on a file system that has no O_TMPFILE, and the rest that is different there."""

    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.exists(NO_TMPFILE), NO_TMPFILE)
        os.environ["LD_PRELOAD"] = NO_TMPFILE
        self.addCleanup(os.environ.pop, "LD_PRELOAD")

    def temporary_files(self):
        return [name for name in self.names() if name.startswith(".pgz-")]

    def test_the_output_has_a_temporary_name_meanwhile(self):
        self.endless_file()
        process = self.start("big", stderr=subprocess.PIPE)
        self.wait_until_it_works(process)
        self.assertEqual(len(self.temporary_files()), 1)
        self.assertEqual(stat.S_IMODE(os.stat(self.full(self.temporary_files()[0])).st_mode), 0o600)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)
        self.assertEqual(self.names(), ["big"])

    def test_a_kill_leaves_no_half_file(self):
        """It leaves one, but under a name of its own."""
        self.endless_file()
        self.assertEqual(self.interrupt("big", number=signal.SIGKILL), -signal.SIGKILL)
        self.assertEqual(len(self.temporary_files()), 1)
        self.assertEqual([name for name in self.names() if name not in self.temporary_files()], ["big"])

    def test_the_same_when_decompressing(self):
        self.endless_archive()
        self.assertEqual(self.interrupt("-d", "big.gz", what="wchar"), 130)
        self.assertEqual(self.names(), ["big.gz"])

    def test_a_signal_leaves_the_earlier_output(self):
        self.endless_file()
        self.write("big.gz", b"earlier")
        for number, status in (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143):
            self.assertEqual(self.interrupt("-f", "big", number=number), status)
            self.assertEqual(self.names(), ["big", "big.gz"])
            self.assertEqual(self.read("big.gz"), b"earlier")

    def test_round_trip(self):
        content = text(1_000_000)
        self.write("file", content)
        self.succeeds("file")
        self.assertEqual(self.names(), ["file.gz"])
        self.succeeds("-d", "file.gz")
        self.assertEqual(self.names(), ["file"])
        self.assertEqual(self.read("file"), content)
        self.write("file.gz", b"old")
        self.assertEqual(self.fails("file", status=2), ["pgz: file.gz already exists; not overwritten"])
        self.assertEqual(self.read("file.gz"), b"old")
        self.succeeds("-f", "file")
        self.assertEqual(self.names(), ["file.gz"])
        self.assertEqual(self.gunzip(self.read("file.gz")), content)

    def test_no_space_in_the_middle_of_a_file(self):
        self.write("big", noise(30 * BLOCK))
        limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10 * BLOCK,) * 2)}
        self.assertEqual(self.fails("big", **limit), ["pgz: big.gz: File too large (block 9, write)"])
        self.assertEqual(self.names(), ["big"])

    def test_an_output_whose_name_is_too_long(self):
        name = "x" * 255
        self.endless_file(name)
        self.assertEqual(self.fails(name), [f"pgz: {name}.gz: File name too long"])
        self.assertEqual(self.names(), [name])


if __name__ == "__main__":
    if not os.access(PGZ, os.X_OK):
        sys.exit(f"pgz_test.py: PGZ={PGZ} is no program")
    unittest.main(verbosity=2)
