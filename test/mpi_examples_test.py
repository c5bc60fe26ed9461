#!/usr/bin/env python3
"""Tests of examples/treesum_mpi and examples/julia_mpi, on 1, 2 and 4 ranks.

The programs and mpirun are named in the environment: MPIEXEC, TREESUM_MPI, JULIA_MPI.
"""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

# Open MPI starts more ranks than there are CPUs, and as root, only if it is asked to.
SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
RANKS = (1, 2, 4)


def run(ranks, program, *arguments):
    return subprocess.run(
        [os.environ["MPIEXEC"], "-n", str(ranks), os.environ[program], *map(str, arguments)],
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        timeout=120,
    )


def lines_of(text, program):
    """The lines of the program itself: mpirun adds lines about ranks that have failed."""
    return [line for line in text.splitlines() if line.startswith(program)]


class Treesum(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for i in range(100):
            (self.root / f"file{i:03}").write_text("x" * i * i)

    def test_the_list_is_the_same_for_any_number_of_ranks_and_sha256sum_accepts_it(self):
        lists = set()
        for ranks in RANKS:
            done = run(ranks, "TREESUM_MPI", self.root)
            self.assertEqual(done.returncode, 0, done.stderr)
            lists.add(done.stdout)
        self.assertEqual(len(lists), 1)
        self.assertEqual(len(done.stdout.splitlines()), 100)
        check = subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet"], input=done.stdout, text=True
        )
        self.assertEqual(check.returncode, 0)

    def test_a_file_that_cannot_be_read_is_one_line_and_status_1_for_any_number_of_ranks(self):
        bad = "/proc/self/mem"  # root, too, cannot read its first byte
        told = set()
        for ranks in RANKS:
            done = run(ranks, "TREESUM_MPI", self.root, bad, self.root)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout, "")
            told.add(tuple(lines_of(done.stderr, "treesum_mpi: ")))
        self.assertEqual(told, {(f"treesum_mpi: {bad}: Input/output error",)})

    def test_a_tree_that_is_not_there_is_told_by_all_ranks_and_arguments_are_checked(self):
        done = run(2, "TREESUM_MPI", self.root / "nowhere")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            lines_of(done.stderr, "treesum_mpi: "),
            [f"treesum_mpi: {self.root}/nowhere: No such file or directory"],
        )
        done = run(2, "TREESUM_MPI")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(lines_of(done.stderr, "treesum_mpi: ")), 1)


class Julia(unittest.TestCase):
    def test_the_checksum_is_the_same_for_any_number_of_ranks(self):
        sums = set()
        for ranks in RANKS:
            done = run(ranks, "JULIA_MPI", "--size", 90)
            self.assertEqual(done.returncode, 0, done.stderr)
            sums.add(re.match(r"checksum ([0-9a-f]{16}) of 90 rows", done.stdout)[1])
            self.assertRegex(done.stdout, r"\nfixed division \S+ s, chunks \S+ s\n$")
        self.assertEqual(len(sums), 1)

    def test_a_row_that_fails_ends_all_ranks(self):
        for ranks in RANKS:
            done = run(ranks, "JULIA_MPI", "--size", 90, "--fail-at", 17)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout, "")
            told = lines_of(done.stderr, "julia_mpi: ")
            self.assertEqual(len(told), 1)
            self.assertIn("row 17 was told to fail", told[0])

    def test_the_image_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "julia.pgm"
            done = run(2, "JULIA_MPI", "--size", 50, "-o", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            head, pixels = path.read_bytes().split(b"\n", 1)
            self.assertEqual(head, b"P5 50 50 255")
            self.assertEqual(len(pixels), 2500)
            self.assertNotIn(0, pixels)


if __name__ == "__main__":
    unittest.main()
