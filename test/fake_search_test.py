"""What examples/fake_search promises. Run by ctest, or by hand:

    FAKE_SEARCH=build/gcc-release/examples/fake_search python3 test/fake_search_test.py
"""

import os
import re
import subprocess
import sys
import unittest

FAKE_SEARCH = os.path.abspath(os.environ.get("FAKE_SEARCH", "fake_search"))
PATIENCE = 60  # seconds until a test gives up on a process
QUICK = ("--most", "1ms", "--timeout", "1h")
KINDS = {"web pages": "Web", "images": "Image", "videos": "Video"}


class FakeSearchTest(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run(
            [FAKE_SEARCH, *arguments], capture_output=True, text=True, timeout=PATIENCE
        )

    def search(self, *arguments):
        """The exit status, and {version: (servers that answered, {kind: why it did not})}."""
        done = self.run_it(*arguments)
        self.assertEqual(done.stderr, "")
        versions = {}
        for line in done.stdout.splitlines():
            missing = re.fullmatch(r"  no (web pages|images|videos): (.+)", line)
            if missing:
                failed[KINDS[missing[1]]] = missing[2].split("; ")
            else:
                version, found = re.fullmatch(r"([\d.]+), .*: (.*) \(\d+ ms\)", line).groups()
                failed = {}
                versions[version] = (found.split(", ") if found != "nothing" else []), failed
        return done.returncode, versions

    def test_everything_is_found_in_every_way(self):
        status, versions = self.search(*QUICK)
        self.assertEqual(list(versions), ["1.0", "2.0", "2.1", "3.0"])
        for version, (found, failed) in versions.items():
            self.assertEqual([name.split()[0] for name in found], ["Web", "Image", "Video"])
            self.assertEqual(failed, {})
            if version != "3.0":
                self.assertEqual([name.split()[1] for name in found], ["1", "1", "1"])
        self.assertEqual(status, 0)

    def test_a_failure_is_the_end_or_a_gap_or_borne(self):
        outcomes = set()
        for seed in range(30):
            status, versions = self.search(*QUICK, "--fail", "0.5", "--seed", str(seed))
            gaps = versions["2.1"][1]
            for kind, why in gaps.items():
                self.assertEqual(why, [f"{kind} 1 is out of order"])
            for version in "1.0", "2.0":  # all or nothing
                found, failed = versions[version]
                self.assertEqual(len(found), 0 if gaps else 3)
                self.assertEqual(len(failed), 3 if gaps else 0)
                for why in failed.values():
                    self.assertIn(why, gaps.values())
            found, failed = versions["3.0"]  # each kind that any server has
            self.assertEqual(len(found) + len(failed), 3)
            for kind, why in failed.items():
                self.assertEqual(sorted(why), [f"{kind} {i} is out of order" for i in (1, 2, 3)])
                self.assertIn(kind, gaps)
            self.assertEqual(status, 1 if gaps or failed else 0)
            outcomes.add((bool(gaps), bool(failed)))
        self.assertEqual(outcomes, {(False, False), (True, False), (True, True)})

    def test_what_hangs_is_left_behind_when_time_is_over(self):
        status, versions = self.search(
            "--version", "2.1", "3.0", "--hang", "1", "--timeout", "50ms", "--replicas", "10"
        )
        nothing = dict.fromkeys(KINDS.values(), ["not in time"])
        self.assertEqual(versions, {"2.1": ([], nothing), "3.0": ([], nothing)})
        self.assertEqual(status, 1)

    def test_what_hangs_is_left_behind_when_another_answers(self):
        for seed in range(10):
            status, versions = self.search(
                "--version", "3.0", "--hang", "0.7", "-r", "30", "-s", str(seed), *QUICK
            )
            self.assertEqual((status, versions["3.0"][1]), (0, {}))

    def test_one_server_of_each_is_2_1(self):
        for seed in range(10):
            _, versions = self.search("-v", "2.1", "3.0", "-r1", "-f.5", "-s", str(seed), *QUICK)
            self.assertEqual(versions["2.1"], versions["3.0"])

    def test_wrong_usage_is_2(self):
        for wrong in (
            ["--version", "4.0"],
            ["-r0"],
            ["-t", "0s"],
            ["-m", "5"],
            ["-f", "1.5"],
            ["-g", "-1"],
            ["-s", "x"],
            ["--nope"],
        ):
            done = self.run_it(*wrong)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
            self.assertNotEqual(done.stderr, "")
        done = self.run_it("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--replicas", done.stdout)


if __name__ == "__main__":
    if not os.access(FAKE_SEARCH, os.X_OK):
        sys.exit(f"fake_search_test.py: FAKE_SEARCH={FAKE_SEARCH} is no program")
    unittest.main(verbosity=2)
