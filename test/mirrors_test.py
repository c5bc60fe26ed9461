"""What examples/mirrors promises, with servers of its own. Run by ctest, or by hand:

    MIRRORS=build/gcc-release/examples/mirrors python3 test/mirrors_test.py
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

MIRRORS = os.path.abspath(os.environ.get("MIRRORS", "mirrors"))
PATIENCE = 60  # seconds until a test gives up on a process
QUICK = ("--delay", "1ms", "--timeout", "1h")
FILE = b"hello\r\n\r\n\0" * 100_000
SUM = hashlib.sha256(FILE).hexdigest()


def answer(status, content, length=None):
    length = len(content) if length is None else length
    head = f"HTTP/1.1 {status}\r\nServer: test\r\ncontent-LENGTH:  {length} \r\n\r\n"
    return head.encode() + content


GOOD = answer("200 OK", FILE)
SILENT = None


class Mirror:
    """A server. To each request it gives the next of its answers; the last one, from then on.
    `ready()` says when it may."""

    def __init__(self, *answers):
        self.answers = answers
        self.ready = lambda: True
        self.requests = []
        self.hung_up = threading.Event()  # by a client, while it waits for an answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/a/file?x=1" % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_one, args=(client,), daemon=True).start()

    def serve_one(self, client):
        with client:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                part = client.recv(4096)
                if not part:
                    return
                request += part
            self.requests.append(request)
            now = self.answers[min(len(self.requests), len(self.answers)) - 1]
            while not self.ready():
                time.sleep(0.001)
            try:
                if now is SILENT:
                    client.recv(1)
                    self.hung_up.set()
                else:
                    client.sendall(now)
            except OSError:
                self.hung_up.set()


class MirrorsTest(unittest.TestCase):
    # Mirrors of all kinds.

    def mirror(self, *answers):
        it = Mirror(*answers)
        self.addCleanup(it.listener.close)
        return it

    def refusing(self):
        it = socket.socket()
        self.addCleanup(it.close)
        it.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d/file" % it.getsockname()[1]

    # Helpers.

    def start(self, *arguments):
        process = subprocess.Popen(
            [MIRRORS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def end(self, process):
        """The exit status, what was delivered, and what was said."""
        out, err = process.communicate(timeout=PATIENCE)
        said = err.decode().splitlines()
        self.assertEqual([line for line in said if not line.startswith("mirrors: ")], [])
        return process.returncode, out, [line.removeprefix("mirrors: ") for line in said]

    def run_it(self, *arguments):
        return self.end(self.start(*arguments))

    def assert_delivered(self, done, mirror, attempt=1, content=FILE):
        status, out, said = done
        self.assertEqual(status, 0, said)
        self.assertTrue(out == content)
        self.assert_said(said, mirror, attempt, content)

    def assert_said(self, said, mirror, attempt=1, content=FILE):
        self.assertRegex(
            said[-1],
            rf"^{mirror.url.replace('?', '[?]')} delivered {len(content)} bytes"
            rf" at attempt {attempt} \(\d+ ms\)$",
        )

    # Who delivers.

    def test_one_that_delivers_is_enough(self):
        good = self.mirror(GOOD)
        self.assert_delivered(self.run_it(good.url), good)
        port = good.listener.getsockname()[1]
        self.assertEqual(
            good.requests, [b"GET /a/file?x=1 HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % port]
        )

    def test_the_slow_ones_are_hung_up_on(self):
        good, slow = self.mirror(GOOD), [self.mirror(SILENT) for _ in range(9)]
        good.ready = lambda: all(each.requests for each in slow)
        urls = [each.url for each in slow]
        self.assert_delivered(self.run_it(*urls[:5], good.url, *urls[5:], "-t1h"), good)
        for each in slow:
            self.assertTrue(each.hung_up.wait(PATIENCE))

    def test_whoever_fails_is_asked_again(self):
        for bad in (
            answer("500 Internal Server Error", b"?"),
            answer("200 OK", FILE, len(FILE) + 1),
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\n",
        ):
            flaky = self.mirror(bad, bad, GOOD)
            self.assert_delivered(self.run_it(flaky.url, self.refusing(), *QUICK), flaky, 3)
            self.assertEqual(len(flaky.requests), 3)

    def test_an_attempt_that_takes_too_long_is_one(self):
        flaky = self.mirror(SILENT, SILENT, GOOD)
        self.assert_delivered(self.run_it(flaky.url, "--delay", "1ms", "--timeout", "1s"), flaky, 3)
        self.assertTrue(flaky.hung_up.wait(PATIENCE))

    def test_only_the_right_file_will_do(self):
        good = self.mirror(answer("502 Bad Gateway", b""), GOOD)
        wrong = self.mirror(answer("200 OK", b"<html>please log in</html>"))
        self.assert_delivered(self.run_it(wrong.url, good.url, "--sha256", SUM, *QUICK), good, 2)
        self.assertEqual(len(wrong.requests), 1)

    def test_an_empty_file_is_a_file_and_so_is_one_of_unknown_length(self):
        empty = self.mirror(answer("200 OK", b""))
        self.assert_delivered(self.run_it(empty.url), empty, content=b"")
        unknown = self.mirror(b"HTTP/1.0 200 OK\r\n\r\n" + FILE)
        self.assert_delivered(self.run_it(unknown.url), unknown)

    def test_it_is_written_to_a_file(self):
        good = self.mirror(GOOD)
        with tempfile.TemporaryDirectory(prefix="mirrors-test-") as folder:
            path = os.path.join(folder, "file")
            status, out, said = self.run_it(good.url, "-o", path)
            self.assertEqual((status, out), (0, b""))
            self.assert_said(said, good)
            with open(path, "rb") as file:
                self.assertTrue(file.read() == FILE)
            status, _, said = self.run_it(good.url, "-o", os.path.join(folder, "no/file"))
            self.assertEqual((status, said), (1, [f"{folder}/no/file: could not be written"]))

    # Who does not.

    def test_of_all_that_fail_it_tells_why(self):
        missing = self.mirror(answer("404 Not Found", b""))
        broken = self.mirror(answer("503 Service Unavailable", b""))
        cut = self.mirror(answer("200 OK", b"half", 8))
        wrong = self.mirror(answer("200 OK", b"another"))
        refusing = self.refusing()
        status, out, said = self.run_it(
            missing.url, broken.url, cut.url, wrong.url, refusing, "-n5", "--sha256", SUM, *QUICK
        )
        self.assertEqual((status, out), (1, b""))
        self.assertEqual(
            sorted(said),
            sorted([
                f"{missing.url}: 404 Not Found",
                f"{broken.url}: 503 Service Unavailable (5 attempts)",
                f"{cut.url}: ended after 4 of 8 bytes (5 attempts)",
                f"{wrong.url}: is another file: its SHA-256 sum differs",
                f"{refusing}: Connection refused (5 attempts)",
            ]),
        )
        self.assertEqual(len(missing.requests), 1)
        self.assertEqual(len(broken.requests), 5)

    def test_time_is_over_in_an_attempt_and_in_a_pause(self):
        silent, refusing = self.mirror(SILENT), self.refusing()
        missing = self.mirror(answer("404 Not Found", b""))
        status, _, said = self.run_it(
            silent.url, refusing, missing.url, "-d1h", "-t1h", "--within", "1s"
        )
        self.assertEqual(status, 1)
        self.assertEqual(said[0], "the deadline passed")
        self.assertIn(f"{missing.url}: 404 Not Found", said)
        self.assertTrue(silent.hung_up.wait(PATIENCE))

    def test_attempts_that_fail_are_told_if_asked_for(self):
        refusing = self.refusing()
        status, _, said = self.run_it(refusing, "-n3", "--verbose", *QUICK)
        self.assertEqual(
            said,
            [f"{refusing}: Connection refused, will try again"] * 2
            + [f"{refusing}: Connection refused (3 attempts)"],
        )
        self.assertEqual(status, 1)

    def test_a_signal_ends_it(self):
        for which in signal.SIGINT, signal.SIGTERM:
            silent = self.mirror(SILENT)
            process = self.start(silent.url, "-t1h")
            begin = time.monotonic()
            while not silent.requests:
                self.assertLess(time.monotonic() - begin, PATIENCE)
                time.sleep(0.001)
            process.send_signal(which)
            status, out, said = self.end(process)
            self.assertEqual((status, out), (128 + which, b""))
            self.assertTrue(silent.hung_up.wait(PATIENCE))

    # The command line.

    def test_wrong_usage_is_2(self):
        for wrong in (
            [],
            ["localhost/file"],
            ["https://localhost/file"],
            ["http://"],
            ["http:///file"],
            ["http://localhost/a b"],
            ["http://localhost/", "-s", "abc"],
            ["http://localhost/", "-s", SUM.upper()],
            ["http://localhost/", "-n0"],
            ["http://localhost/", "-d", "1"],
            ["http://localhost/", "--nope"],
        ):
            done = subprocess.run([MIRRORS, *wrong], capture_output=True, timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (2, b""), wrong)
            self.assertNotEqual(done.stderr, b"")
        done = subprocess.run([MIRRORS, "--help"], capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--sha256", done.stdout)


if __name__ == "__main__":
    if not os.access(MIRRORS, os.X_OK):
        sys.exit(f"mirrors_test.py: MIRRORS={MIRRORS} is no program")
    unittest.main(verbosity=2)
