"""What the file of errgroup::trace tells, and ERRGROUP_TRACE. Run by ctest, or by hand:

    TRACED=build/gcc-debug/test/traced python3 test/trace_test.py
"""

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TRACED = os.path.abspath(os.environ.get("TRACED", "traced"))
PATIENCE = 120  # seconds until a test gives up on a process


class Trace:
    """A file that is checked while it is read: it is JSON, slices nest, arrows have two ends."""

    def __init__(self, test, path):
        with open(path, encoding="utf-8", errors="strict") as file:
            self.json = json.load(file)
        self.events = self.json["traceEvents"]
        self.other = self.json["otherData"]
        self.test = test
        for event in self.events:
            test.assertLessEqual({"ph", "pid", "tid", "ts", "name"} - {"name"}, event.keys())
            test.assertGreaterEqual(event["ts"], 0)
        self.check_nesting()
        self.check_tasks()
        self.check_arrows()
        self.check_counters()

    def slices(self, category):
        return [e for e in self.events if e["ph"] == "X" and e["cat"] == category]

    def instants(self, name):
        return [e for e in self.events if e["ph"] == "i" and e["name"] == name]

    def names(self, category):
        return {e["name"] for e in self.slices(category)}

    def check_nesting(self):
        threads = collections.defaultdict(list)
        for e in self.events:
            if e["ph"] == "X":
                begin = ns(e["ts"])
                threads[e["tid"]].append((begin, begin + ns(e["dur"]), e["name"]))
        for slices in threads.values():
            around = []
            for begin, end, name in sorted(slices, key=lambda s: (s[0], -s[1])):
                self.test.assertLessEqual(begin, end)
                while around and around[-1][1] <= begin:
                    around.pop()
                if around:
                    self.test.assertLessEqual(end, around[-1][1], (name, around[-1]))
                around.append((begin, end, name))

    def check_tasks(self):
        """No task is there twice, as one that ran when the file was written and one that has ended."""
        numbers = [(e["args"]["group_id"], e["args"]["index"]) for e in self.slices("task")]
        self.test.assertEqual(len(numbers), len(set(numbers)))

    def check_arrows(self):
        begins = {e["id"]: e for e in self.events if e["ph"] == "s"}
        ends = {e["id"]: e for e in self.events if e["ph"] == "f"}
        self.test.assertEqual(begins.keys(), ends.keys())
        tasks = {(e["tid"], e["ts"]): e for e in self.slices("task")}
        runs = {(e["tid"], e["ts"]): e for e in self.slices("run")}
        for number, begin in begins.items():
            run = runs[begin["tid"], begin["ts"]]["args"]
            task = tasks[ends[number]["tid"], ends[number]["ts"]]["args"]
            self.test.assertEqual(run["group_id"], task["group_id"])
            self.test.assertEqual(run["index"], task["index"])
            self.test.assertLessEqual(begin["ts"], ends[number]["ts"])
        self.arrows = len(begins)

    def check_counters(self):
        running = collections.defaultdict(int)
        for e in self.events:
            if e["ph"] == "C":
                running[e["name"]] = e["args"]["running"]
                self.test.assertGreaterEqual(running[e["name"]], 0)
        self.counters = dict(running)


def ns(microseconds):
    return round(microseconds * 1000)


class TraceTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="trace-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, "run.json")

    def traced(self, *arguments, status=0, err="", environment=None):
        """Runs the program, and returns what it says about itself."""
        clean = {k: v for k, v in os.environ.items() if k != "ERRGROUP_TRACE"}
        done = subprocess.run(
            [TRACED, *arguments],
            env=clean | (environment or {}),
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            encoding="utf-8",
        )
        self.assertEqual(done.stderr, err)
        self.assertEqual(done.returncode, status)
        lines = [line.split("=") for line in done.stdout.splitlines() if "=" in line]
        return {line[0]: int(line[1]) for line in lines}

    # --- one session

    def test_every_task_is_a_slice_and_has_an_arrow(self):
        said = self.traced("story", self.path)
        trace = Trace(self, self.path)
        self.assertEqual(trace.other["dropped_events"], 0)
        self.assertEqual(len(trace.slices("task")), said["tasks"])
        submitted = len(trace.slices("run"))
        skipped = sum(e["args"]["count"] for e in trace.instants("tasks skipped"))
        self.assertEqual(skipped, said["skipped"])
        self.assertEqual(skipped, 5)
        self.assertEqual(trace.arrows, said["tasks"])
        # Tasks that were given to the cancelled group were not accepted, or are counted.
        self.assertIn(submitted, range(said["tasks"], said["tasks"] + skipped + 1))
        self.assertEqual(set(trace.counters.values()), {0})

    def test_names_are_json_whatever_is_in_them(self):
        self.traced("story", self.path)
        trace = Trace(self, self.path)
        self.assertIn('first "task" \ufffd', trace.names("task"))
        groups = {e["args"].get("group") for e in trace.slices("task")}
        self.assertIn('outer "quoted" \\ \n \ufffd\ufffd größe', groups)
        self.assertIn("inner", groups)

    def test_waits_say_for_what(self):
        self.traced("story", self.path)
        waits = Trace(self, self.path).names("wait")
        self.assertIn("wait for inner", waits)
        self.assertIn("wait for fails", waits)

    def test_errors_and_cancellations_are_instants_with_their_message(self):
        self.traced("story", self.path)
        trace = Trace(self, self.path)
        of_group = [e for e in trace.instants("first error") if e["args"].get("group") == "fails"]
        self.assertEqual(len(of_group), 1)
        self.assertIn("No space left on device", of_group[0]["args"]["message"])
        cancelled = [e for e in trace.instants("cancelled") if e["args"].get("group") == "fails"]
        self.assertEqual(len(cancelled), 1)
        self.assertIn("No space left on device", cancelled[0]["args"]["message"])
        failed = [e for e in trace.slices("task") if "failed" in e["args"]]
        self.assertEqual(len(failed), 2)
        self.assertIn("bad", {e["name"] for e in failed})
        long = [e["args"]["failed"] for e in failed if e["name"] != "bad"][0]
        self.assertTrue(long.startswith("x" * 300 + " a long message, to the end"), long)

    def test_threads_have_names(self):
        self.traced("story", self.path)
        trace = Trace(self, self.path)
        names = {e["tid"]: e["args"]["name"] for e in trace.events if e["name"] == "thread_name"}
        self.assertIn("main", names.values())
        self.assertLessEqual({e["tid"] for e in trace.slices("task")}, names.keys())

    # --- bounded memory

    def test_a_small_ring_keeps_the_newest_and_counts_the_rest(self):
        said = self.traced("many", self.path, "64")
        trace = Trace(self, self.path)
        kept = len(trace.slices("task"))
        self.assertLessEqual(len(trace.slices("task") + trace.slices("run")), 512)
        self.assertGreater(kept, 100)
        self.assertEqual(kept + trace.other["dropped_tasks"], said["tasks"])
        self.assertGreater(trace.other["dropped_events"], trace.other["dropped_tasks"])
        self.assertIn("inner", {e["args"].get("group") for e in trace.slices("task")})
        dropped = trace.other["dropped_events"]
        (instant,) = trace.instants(f"{dropped} events were dropped before this")
        self.assertLessEqual(instant["ts"], min(e["ts"] for e in trace.slices("task")))

    def test_slices_that_are_too_deep_are_counted(self):
        said = self.traced("deep", self.path)
        trace = Trace(self, self.path)
        kept = len(trace.slices("task"))
        self.assertGreater(trace.other["dropped_tasks"], 0)
        self.assertEqual(kept + trace.other["dropped_tasks"], said["tasks"])

    # --- flush

    def test_flush_while_threads_run_tasks(self):
        self.traced("busy", self.path, "8000", "4")
        for i in range(4):
            trace = Trace(self, f"{self.path}.{i}")
            self.assertGreater(len(trace.slices("task")), 8)
        Trace(self, self.path)

    def test_flush_while_threads_run_tasks_and_events_are_dropped(self):
        self.traced("busy", self.path, "64", "100")
        for i in range(100):
            Trace(self, f"{self.path}.{i}")

    def test_what_runs_at_the_flush_is_unfinished(self):
        self.traced("unfinished", self.path)
        trace = Trace(self, self.path)
        running = [e for e in trace.events if e.get("args", {}).get("unfinished")]
        self.assertEqual(
            sorted(e["name"] for e in running), ["deep", "sleeper", "wait for within"]
        )
        self.assertEqual(
            trace.counters,
            {n: 1 for n in trace.counters},
        )
        self.assertEqual(len(trace.counters), 2)

    # --- the environment

    def test_a_program_that_names_no_session_records_by_its_environment(self):
        said = self.traced("environment", environment={"ERRGROUP_TRACE": self.path})
        self.assertEqual(len(Trace(self, self.path).slices("task")), said["tasks"])

    def test_without_the_variable_nothing_is_written(self):
        self.traced("environment")
        self.traced("environment", environment={"ERRGROUP_TRACE": ""})
        self.assertEqual(os.listdir(self.folder), [])

    def test_it_is_written_after_exit_and_after_destructors(self):
        said = self.traced("exit", status=3, environment={"ERRGROUP_TRACE": self.path})
        self.assertEqual(len(Trace(self, self.path).slices("task")), said["tasks"])

    def test_a_bad_path_is_one_line_and_the_program_runs(self):
        path = os.path.join(self.folder, "nowhere", "run.json")
        said = self.traced(
            "environment",
            environment={"ERRGROUP_TRACE": path},
            err=f"errgroup::trace: cannot open '{path}' for writing: No such file or directory "
            "(named by ERRGROUP_TRACE); the program runs without a trace\n",
        )
        self.assertEqual(said["tasks"], 50)

    def test_a_full_disk_is_one_line_at_the_end(self):
        line = "errgroup::trace: cannot write '/dev/full': No space left on device\n"
        self.traced("environment", environment={"ERRGROUP_TRACE": "/dev/full"}, err=line)
        self.traced("story", "/dev/full", err=line)

    def test_a_session_beside_that_of_the_environment_is_refused(self):
        other = os.path.join(self.folder, "other.json")
        self.traced(
            "story",
            self.path,
            environment={"ERRGROUP_TRACE": other},
            status=1,
            err=f"traced: errgroup::trace: cannot record to '{self.path}', because another session "
            f"records to '{other}': a process has one session at a time (ERRGROUP_TRACE in the "
            "environment begins one)\n",
        )
        self.assertFalse(os.path.exists(self.path))


if __name__ == "__main__":
    if not os.access(TRACED, os.X_OK):
        sys.exit(f"trace_test.py: TRACED={TRACED} is no program")
    unittest.main(verbosity=2)
