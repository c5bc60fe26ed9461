"""What examples/probe promises, with real sockets. Run by ctest, or by hand:

    PROBE=build/gcc-release/examples/probe python3 test/probe_test.py
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

PROBE = os.path.abspath(os.environ.get("PROBE", "probe"))
PATIENCE = 60  # seconds until a test gives up on a process
OFTEN = ("--every", "5ms")


class ProbeTest(unittest.TestCase):
    # Endpoints of all kinds.

    def bound(self):
        """A socket that has a port and refuses connections, until it listens."""
        it = socket.socket()
        self.addCleanup(it.close)
        it.bind(("127.0.0.1", 0))
        return it

    def listening(self):
        it = self.bound()
        it.listen(1000)
        return it

    def silent(self):
        """One whose queue is full: the system answers nobody."""
        it = self.bound()
        it.listen(0)
        for _ in range(3):
            client = socket.socket()
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(it.getsockname())
        return it

    @staticmethod
    def name(it):
        return "127.0.0.1:%d" % it.getsockname()[1]

    # Helpers.

    def start(self, *arguments):
        process = subprocess.Popen(
            [PROBE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def run_it(self, *arguments):
        return self.end(self.start(*arguments))

    def end(self, process):
        """Its exit status, the changes that it told of, and {endpoint: (probes, up)}."""
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(err, "")
        changes, sums = [], {}
        for line in out.splitlines():
            summary = re.fullmatch(
                r"(\S+): (\d+) probes, (\d+) up(, [\d.]+/[\d.]+/[\d.]+ ms \(least, mean, most\))?",
                line,
            )
            if summary:
                name, probes, up, times = summary.groups()
                sums[name] = int(probes), int(up)
                self.assertEqual(int(up) != 0, times is not None)
            else:
                changes.append(self.change(line))
        return process.returncode, changes, sums

    def change(self, line):
        name, up, why = re.fullmatch(r"(\S+) (?:(up) [\d.]+ ms|down: (.*))", line.strip()).groups()
        return name, up or why

    # Probes.

    def test_each_is_probed_so_often_and_a_change_told_once(self):
        up, down = self.listening(), self.bound()
        status, changes, sums = self.run_it(self.name(up), self.name(down), "--count", "20", *OFTEN)
        self.assertEqual(
            sorted(changes),
            sorted([(self.name(up), "up"), (self.name(down), "Connection refused")]),
        )
        self.assertEqual(sums, {self.name(up): (20, 20), self.name(down): (20, 0)})
        self.assertEqual(status, 1)

    def test_all_up_is_0(self):
        many = [self.name(self.listening()) for _ in range(20)]
        for limit in "1", "3", "50":
            for count in 1, 2, 10:
                status, changes, sums = self.run_it(
                    *many, "--count", str(count), "--limit", limit, *OFTEN
                )
                self.assertEqual(sorted(changes), sorted((name, "up") for name in many))
                self.assertEqual(list(sums), many)
                self.assertEqual(set(sums.values()), {(count, count)})
                self.assertEqual(status, 0)

    def test_ups_and_downs_are_told_when_they_are_seen(self):
        here = self.bound()
        port = here.getsockname()[1]
        process = self.start(self.name(here), *OFTEN)
        told = lambda: self.change(process.stdout.readline())[1]
        self.assertEqual(told(), "Connection refused")
        here.listen(1000)
        self.assertEqual(told(), "up")
        here.close()
        self.assertEqual(told(), "Connection refused")
        with socket.create_server(("127.0.0.1", port)):
            self.assertEqual(told(), "up")
        self.assertEqual(told(), "Connection refused")
        process.send_signal(signal.SIGINT)
        status, changes, sums = self.end(process)
        self.assertEqual((status, changes, len(sums)), (1, [], 1))

    def test_no_answer_is_down_after_the_timeout(self):
        silent = self.silent()
        status, changes, sums = self.run_it(
            self.name(silent), "--timeout", "50ms", "--count", "3", *OFTEN
        )
        self.assertEqual(changes, [(self.name(silent), "Connection timed out")])
        self.assertEqual(sums, {self.name(silent): (3, 0)})
        self.assertEqual(status, 1)

    def test_no_more_than_the_limit_at_once_and_as_many_as_that(self):
        many = [self.name(self.silent()) for _ in range(20)]
        for limit in 1, 3, 12:
            process = self.start(*many, "--timeout", "1h", "--limit", str(limit), *OFTEN)
            begin = time.monotonic()
            while self.sockets(process) < limit:
                self.assertLess(time.monotonic() - begin, PATIENCE)
                time.sleep(0.001)
            for _ in range(100):
                time.sleep(0.001)
                self.assertEqual(self.sockets(process), limit)
            process.send_signal(signal.SIGINT)
            self.assertEqual(self.end(process)[1:], ([], dict.fromkeys(many, (0, 0))))

    @staticmethod
    def sockets(process):
        count = 0
        folder = f"/proc/{process.pid}/fd"
        for fd in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{fd}").startswith("socket:")
            except FileNotFoundError:
                pass
        return count

    # The end.

    def test_its_time_ends_it_in_the_middle_of_a_probe_and_before_one(self):
        up, silent = self.listening(), self.silent()
        status, _, sums = self.run_it(
            self.name(silent), "--timeout", "1h", "--for", "1s", *OFTEN
        )
        self.assertEqual((status, sums), (1, {self.name(silent): (0, 0)}))
        status, changes, sums = self.run_it(self.name(up), "--every", "1000h", "--for", "200ms")
        self.assertEqual((status, changes, sums), (1, [], {self.name(up): (0, 0)}))
        status, changes, sums = self.run_it(self.name(up), "--for", "2s", *OFTEN)
        self.assertEqual((status, changes), (0, [(self.name(up), "up")]))
        self.assertGreater(sums[self.name(up)][0], 1)

    def test_a_signal_ends_it_with_its_summary(self):
        up, silent = self.listening(), self.silent()
        for which in signal.SIGINT, signal.SIGTERM:
            process = self.start(self.name(up), self.name(silent), "--timeout", "1h", *OFTEN)
            self.assertEqual(self.change(process.stdout.readline()), (self.name(up), "up"))
            process.send_signal(which)
            status, changes, sums = self.end(process)
            self.assertEqual((status, changes), (1, []))
            self.assertGreater(sums[self.name(up)][0], 0)
            self.assertEqual(sums[self.name(silent)], (0, 0))

    # The command line.

    def test_names_are_resolved(self):
        port = self.listening().getsockname()[1]
        self.assertEqual(self.run_it(f"localhost:{port}", "-n1", *OFTEN)[0] in (0, 1), True)
        self.assertEqual(self.run_it(f"[127.0.0.1]:{port}", "-n1", *OFTEN)[0], 0)

    def test_wrong_usage_is_2(self):
        for wrong in (
            [],
            ["localhost"],
            ["localhost:"],
            [":80"],
            ["localhost:no-such-service"],
            ["localhost:80", "-n0"],
            ["localhost:80", "-l0"],
            ["localhost:80", "-e0s"],
            ["localhost:80", "-e", "1"],
            ["localhost:80", "--nope"],
        ):
            done = subprocess.run([PROBE, *wrong], capture_output=True, timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (2, b""), wrong)
            self.assertNotEqual(done.stderr, b"")
        done = subprocess.run([PROBE, "--help"], capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--every", done.stdout)


if __name__ == "__main__":
    if not os.access(PROBE, os.X_OK):
        sys.exit(f"probe_test.py: PROBE={PROBE} is no program")
    unittest.main(verbosity=2)
