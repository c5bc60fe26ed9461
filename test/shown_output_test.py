"""Runs the programs that a document shows, and compares their output with the output in the document.
Run by ctest, or by hand with the document and the folder of its programs:

    python3 test/shown_output_test.py docs/cookbook.md build/gcc-release/examples/cookbook

A `console` block with `./build/` in a command is run; all other blocks are not. It is read as what a
shell shows:

    $ ./build/NAME          runs a program; `echo | ./build/NAME` and the like work, too
    its output              on both streams; a carriage return goes back to the begin of the line
    $ echo $?               its exit status
    $ ./build/NAME &        starts a program; its output may have the lines in any order
    $ kill -TERM %1         sends it a signal, after the output above has come
    $ wait %1; echo $?      waits for its end; its exit status

Each program in the folder has to be run.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

PATIENCE = 60  # seconds until a test gives up on a process


def transcripts(text):
    """For each console block with a program: the commands, each with the output below it."""
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
        if any("./build/" in command for command, _ in steps):
            yield steps


def on_a_terminal(output):
    """The lines that a terminal shows. A text behind a carriage return replaces the one before."""
    lines = output.decode().split("\n")
    return [line.rstrip("\r").split("\r")[-1].rstrip() for line in lines][:-1]


def give_up(*_):
    raise TimeoutError(f"nothing came for {PATIENCE} seconds")


class ShownOutputTest(unittest.TestCase):
    document = programs = None  # set below

    def setUp(self):
        signal.signal(signal.SIGALRM, give_up)
        folder = tempfile.TemporaryDirectory(prefix="shown-output-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.symlink(self.programs, pathlib.Path(self.folder, "build"))

    def start(self, command):
        return subprocess.Popen(
            ["bash", "-c", "exec " + command if command.startswith("./") else command],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run_to_its_end(self, command):
        with self.start(command) as process:
            try:
                output, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                self.fail(f"{command} does not end")
        return process.returncode, on_a_terminal(output)

    def run_in_background(self, command, shown, rest):
        """`rest` are the commands that follow."""
        process = self.start(command)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        signal.alarm(PATIENCE)  # a line may never come
        self.addCleanup(signal.alarm, 0)
        for following, expected in [(None, shown), *rest]:
            if following == "wait %1; echo $?":
                self.assertEqual(process.stdout.read(), b"", command)
                self.assertEqual([str(process.wait())], expected, following)
                continue
            if following is not None:
                name = re.fullmatch(r"kill -(\w+) %1", following)
                self.assertTrue(name, f"{following}: cannot follow {command} &")
                process.send_signal(signal.Signals["SIG" + name[1]])
            lines = [process.stdout.readline().decode().rstrip("\n") for _ in expected]
            self.assertEqual(sorted(lines), sorted(expected), following or command)
        self.assertEqual(process.stdout.read(), b"", command)

    def test_the_programs_print_what_is_shown(self):
        for steps in transcripts(self.document.read_text()):
            status = None
            for number, (command, shown) in enumerate(steps):
                with self.subTest(command):
                    if command == "echo $?":
                        self.assertEqual([str(status)], shown)
                    elif command.endswith(" &"):
                        self.run_in_background(command[:-2], shown, steps[number + 1 :])
                    else:
                        status, printed = self.run_to_its_end(command)
                        self.assertEqual(printed, shown)
                if command.endswith(" &"):
                    break  # the rest of the block belonged to it

    def test_each_program_is_run(self):
        shown = set()
        for steps in transcripts(self.document.read_text()):
            for command, _ in steps:
                shown.update(re.findall(r"\./build/(\w+)", command))
        there = {p.name for p in self.programs.iterdir() if p.is_file() and os.access(p, os.X_OK)}
        self.assertEqual(shown, there)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not os.path.isfile(sys.argv[1]) or not os.path.isdir(sys.argv[2]):
        sys.exit("usage: shown_output_test.py DOCUMENT FOLDER_OF_ITS_PROGRAMS")
    ShownOutputTest.document = pathlib.Path(sys.argv[1]).resolve()
    ShownOutputTest.programs = pathlib.Path(sys.argv[2]).resolve()
    unittest.main(argv=sys.argv[:1], verbosity=2)
