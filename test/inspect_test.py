"""What examples/inspect and docs/observing.md promise: a program that hangs can be looked into.

    INSPECT=build/gcc-release/examples/inspect python3 test/inspect_test.py
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

INSPECT = os.path.abspath(os.environ.get("INSPECT", "inspect"))
TIMELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts", "timeline")
PATIENCE = 60  # seconds until a test gives up on a process


class InspectTest(unittest.TestCase):
    def start(self, *arguments, **environment):
        process = subprocess.Popen(
            [INSPECT, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def hung(self, *arguments, **environment):
        """A process in which the first row waits for the dictionary."""
        process = self.start(*arguments, **environment)
        for line in process.stderr:
            if "waits for the dictionary" in line:
                self.assertIn(f"in process {process.pid}", line)
                return process
        self.fail("inspect does not hang")

    def lines_until(self, process, wanted):
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if re.search(wanted, line):
                return lines
        self.fail(f"no {wanted} in {lines}")

    def test_without_the_fault_it_ends(self):
        done = subprocess.run([INSPECT, "--fixed"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "inspect: imported\n")

    def test_a_signal_writes_what_runs_and_what_it_waits_for(self):
        process = self.hung()
        wanted = (
            r"import +[12] of 2 running, [12] waiting, 0 failed +made at main\.cpp:",
            r'\n  task 0 "cities" .* waits for the group "parse"',
            r"\n    parse +1 running, ",
            r'\n      task \d "row" ',
            r'\nthread \d+ .* waits for the group "import"',
        )
        # The other tasks and `main` may not wait yet when the first row does: asks until they do.
        is_over = threading.Event()

        def ask():
            process.send_signal(signal.SIGUSR1)
            while not is_over.wait(0.2):
                process.send_signal(signal.SIGUSR1)

        asks = threading.Thread(target=ask)
        asks.start()
        text = "\n"
        try:
            for line in process.stderr:
                text += line
                if all(re.search(pattern, text) for pattern in wanted):
                    break
        finally:
            is_over.set()
            asks.join()
        self.assertNotIn('"dictionary"', text)

    def test_counts_stay_as_they_are(self):
        process = self.hung("--counts")
        for _ in range(2):
            lines = self.lines_until(process, "running")
            self.assertRegex(lines[-1], r"import: [12] running, [12] waiting, 0 failed")

    def test_the_timeline_shows_the_rows_that_wait(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "run.json")
            process = self.hung(ERRGROUP_TRACE=file)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), 128 + signal.SIGINT)
            with open(file, encoding="utf-8") as trace:
                events = json.load(trace)["traceEvents"]
            picture = os.path.join(folder, "run.svg")
            subprocess.run([TIMELINE, file, picture], check=True, timeout=PATIENCE)
            with open(picture, encoding="utf-8") as svg:
                self.assertIn("<svg", svg.read())
        slices = {e["name"] for e in events if e["ph"] in "XB"}
        self.assertIn("cities", slices)
        self.assertIn("row", slices)
        self.assertNotIn("dictionary", slices)

    def test_wrong_usage_is_2(self):
        done = subprocess.run([INSPECT, "--no"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    sys.exit(unittest.main())
