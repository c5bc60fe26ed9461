#!/usr/bin/env python3
"""Turns Google Benchmark's JSON files into ratios to raw oneTBB, beside the targets.

One file per process; several processes of the same workload are its rounds. Every value is the
median over all repetitions of all rounds, a ratio is one of two such medians, and its range is
that of the rounds' own ratios. A target is reached if the value as printed reaches it. With
--fastest, the fastest repetition stands for all: on a machine that is in use, medians measure the
neighbours; but it flatters whoever is sometimes fast.

Exit status: 0, whether targets are reached or not; 1 where an answer was wrong.
"""

import argparse
import collections
import json
import statistics
import sys

CONTENDERS = ["serial", "tbb", "errgroup", "errgroup_queue", "schedgroup", "std_thread"]


def load(paths):
    """The context of the first file, and samples[case/contender][quantity][round] = [values]."""
    context = {}
    samples = collections.defaultdict(lambda: collections.defaultdict(list))
    wrong = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        context = context or content["context"]
        rounds = collections.defaultdict(lambda: collections.defaultdict(list))
        for run in content["benchmarks"]:
            if run.get("run_type") == "aggregate":
                continue
            name = "/".join(run["name"].split("/")[:3])
            if run.get("error_occurred"):
                wrong.append(f"{name}: {run['error_message']}")
                continue
            assert run["time_unit"] == "ns", run
            rounds[name]["ns"].append(run["real_time"] / run["tasks"])
            for counter, scale in (("p50", 1e9), ("p99", 1e9), ("max", 1e9), ("cpu", 1e9),
                                   ("peak_bytes", 1e-6), ("file_bytes", 1e-3), ("bytes_each", 1),
                                   ("units", 1)):
                if counter in run:
                    rounds[name][counter].append(run[counter] * scale)
        for name, quantities in rounds.items():
            for quantity, values in quantities.items():
                samples[name][quantity].append(values)
    return context, samples, wrong


class Missing(Exception):
    """A benchmark that was not selected."""


class Value:
    """A median, and the medians of the single rounds."""

    def __init__(self, whole, rounds):
        self.whole = whole
        self.rounds = rounds

    def __truediv__(self, other):
        pairs = zip(self.rounds, other.rounds)
        return Value(self.whole / other.whole, [a / b for a, b in pairs])

    def scaled(self, factor):
        return Value(self.whole * factor, [value * factor for value in self.rounds])


def table(context, samples, middle):
    """Rows of (what, errgroup, beside, value, unit, target)."""
    threads = int(context["threads"])

    def value(name, quantity="ns"):
        rounds = samples.get(name, {}).get(quantity)
        if not rounds:
            raise Missing(name)
        flat = [v for values in rounds for v in values]
        return Value(middle(flat), [middle(values) for values in rounds])

    rows = []

    def ratio(what, ours, theirs, target="", quantity="ns", inverted=False):
        try:
            a, b = value(ours, quantity), value(theirs, quantity)
        except Missing:
            return
        quotient = b / a if inverted else a / b
        show = number if quantity == "units" else time
        rows.append((what, show(a.whole), f"{show(b.whole)} {label(theirs)}", quotient, "", target))

    def efficiency(what, case, target=""):
        try:
            serial = value(f"{case}/serial")
            ours = serial / value(f"{case}/errgroup").scaled(threads)
            raw = serial / value(f"{case}/tbb").scaled(threads)
        except Missing:
            return
        beside = f"{raw.whole:.2f} tbb"
        rows.append((what, f"{ours.whole:.2f}", beside, ours, "", target))

    def absolute(what, case, unit, target="", quantity="ns", scale=1.0, others=("tbb",),
                 ours="errgroup"):
        try:
            ours = value(f"{case}/{ours}", quantity).scaled(scale)
        except Missing:
            return
        beside = []
        for other in others:
            try:
                theirs = value(f"{case}/{other}", quantity).scaled(scale)
                beside.append(f"{number(theirs.whole, unit)} {other}")
            except Missing:
                continue
        rows.append((what, number(ours.whole, unit), ", ".join(beside), ours, unit, target))

    def pair(what, case, target=""):
        ratio(what, f"{case}/errgroup", f"{case}/tbb", target)

    def pair_of_cpu(what, case, target=""):
        ratio(what, f"{case}/errgroup", f"{case}/tbb", target, "cpu")

    pair("10^6 empty tasks from one outside thread", "flat/empty", "<= 0.85")
    absolute("the same, peak memory of a process of its own", "flat/memory", "MB", "<= 10", "peak_bytes")
    ratio("10^6 empty tasks, a queue of 64, to an unbounded raw group", "flat/empty/errgroup_queue", "flat/empty/tbb")
    absolute("the same, peak memory", "flat/memory", "MB", "", "peak_bytes", ours="errgroup_queue")
    efficiency("tasks of 0.5 us from one outside thread, efficiency", "flat/spin_0.5us")
    efficiency("tasks of 1 us, efficiency", "flat/spin_1us", ">= 0.75")
    efficiency("tasks of 10 us, efficiency", "flat/spin_10us")
    pair("a group of one task: made, run, waited for, destroyed", "flat/one", "<= 1.3")
    ratio("one thread per task (std::thread): how many times slower per task",
          "flat/empty/errgroup", "flat/empty/std_thread", ">= 50", inverted=True)

    pair("fib, a group per node", "nested/fib", "<= 1.2")
    pair("fib, the second branch by run_and_wait", "nested/run_and_wait")
    pair("fib, isolated groups", "nested/isolated")
    ratio("fib, a thread per node: how many times slower per node",
          "nested/fib/errgroup", "nested/fib/std_thread", inverted=True)

    for limit in (1, 2, 4):
        ratio(f"limit {limit}, empty tasks, to our unlimited group",
              f"limited/empty_{limit}/errgroup", "limited/empty_unlimited/errgroup", "<= 1.0")
    for limit in (1, 2, 4):
        pair(f"limit {limit}, empty tasks, to task_arena({limit}).execute", f"limited/empty_{limit}")
    pair("limit 2, tasks of 1 us, to task_arena(2).execute", "limited/spin_1us_2", "<= 0.85")
    for case, words, target in (("places", "one group over a limiter", ""),
                                ("shared", "two groups over a limiter", "<= 1.2"),
                                ("weighed", "tasks with a weight over a limiter", "<= 1.1")):
        ratio(f"limit 2, tasks of 1 us, {words}, to a limit of the group",
              f"limited/spin_1us_2_{case}/errgroup", "limited/spin_1us_2/errgroup", target)
    absolute("try_run at a full limit", "limited/try_run_full", "ns", "<= 20")
    absolute("try_run at a full limiter", "limited/try_run_full_places", "ns")
    ratio("limit 2, tasks of 1 us, a thread per task and a semaphore: times slower",
          "limited/spin_1us_2/errgroup", "limited/spin_1us_2/std_thread", inverted=True)

    pair("a group of 8 tasks, none fails", "error_path/none")
    pair("a group of 8 tasks, one returns an error", "error_path/code", "<= 1.1")
    pair("a group of 8 tasks, one throws", "error_path/throw", "<= 0.5")
    pair("a group of 8 tasks, all throw", "error_path/throws")
    for case, what in (("none", "none fails"), ("code", "one returns an error"), ("throw", "one throws"), ("throws", "all throw")):
        for variant, more in (("_named", "names"), ("_all", "keep::all"), ("_all_named", "names and keep::all"),
                              ("_stacks", "stacks"), ("_all_stacks", "keep::all and stacks")):
            ratio(f"{what}, {more}: to the same without", f"error_path/{case}{variant}/errgroup", f"error_path/{case}/errgroup")
    absolute("first failure (task 200) to wait returning, median", "error_path/latency", "us", "<= 100", "p50", 1e-3)
    absolute("the same, 99th percentile", "error_path/latency", "us", "", "p99", 1e-3)
    absolute("first failure (task 2,000) to wait returning, median", "error_path/latency_late", "us", "", "p50", 1e-3)
    absolute("10^6 tasks into a cancelled group, each", "error_path/refused", "ns", "<= 20")

    pair("a group made and destroyed", "small/made")
    pair("one task run and waited for, in a group that is kept", "small/one")
    pair("wait of an idle group", "small/idle_wait")

    absolute("cancel of one group beside 100, all with stop tokens", "many/cancel_100", "ns")
    absolute("cancel of one group beside 100,000, all with stop tokens", "many/cancel_100k", "us", scale=1e-3)
    for size, count in (("1k", "1,000"), ("4k", "4,000"), ("16k", "16,000")):
        pair(f"{count} limited groups alive, each used once: a group, to a task_arena", f"many/limited_{size}")
    for size, count in (("4k", "4,000"), ("16k", "16,000")):
        ratio(f"a group of {count}, to a group of 1,000: 1 is linear",
              f"many/limited_{size}/errgroup", "many/limited_1k/errgroup")

    pair("a file with one group compiled", "program/compile")
    absolute("a stripped program with one group, errgroup static", "program/size", "KB", "", "file_bytes")

    timers = ("schedgroup", "std_thread")
    sizes = (("1k", "10^3", 1e3), ("10k", "10^4", 1e4), ("100k", "10^5", 1e5), ("1m", "10^6", 1e6))
    for size, count, _ in sizes:
        absolute(f"{count} timers: to insert one", f"timed/insert_{size}", "ns", others=timers)
    for size, count, _ in sizes:
        absolute(f"{count} timers, not due: to drop one", f"timed/cancel_{size}", "ns", others=timers)
    absolute("10^6 timers, not due: to drop all", "timed/cancel_1m", "ms", scale=1e6 * 1e-6, others=timers)
    for size, count, _ in sizes:
        absolute(f"{count} timers, all due at once: to run one", f"timed/fire_{size}", "ns", others=timers)
    for size, count, number_of in sizes:
        absolute(f"{count} timers, due within 100 ms: to run all", f"timed/spread_{size}", "ms",
                 scale=number_of * 1e-6, others=timers)
        absolute("the same, processor time for one", f"timed/spread_{size}", "us", "", "cpu", 1e-3, timers)
    for kind, what in (("idle", "an idle machine"), ("busy", "all workers busy"), ("spinning", "all CPUs busy")):
        absolute(f"10^4 timers a second, {what}: late, median", f"timed/lateness_{kind}", "us", "", "p50", 1e-3, timers)
        absolute("the same, 99th percentile", f"timed/lateness_{kind}", "us", "", "p99", 1e-3, timers)
        absolute("the same, the latest", f"timed/lateness_{kind}", "us", "", "max", 1e-3, timers)
    absolute("10^4 timers a second, an idle machine: processor time for one", "timed/lateness_idle", "us", "", "cpu", 1e-3, timers)
    absolute("10^6 timers: memory for one", "timed/memory", "bytes", "", "bytes_each", 1.0, timers)

    for case in ("for_each", "transform", "reduce"):
        like = "parallel_reduce" if case == "reduce" else "parallel_for"
        pair(f"{case} of 10^6 numbers, to {like}", f"bulk/{case}", "<= 1.05")
        pair(f"{case} of 10^4 elements of 10 us, to {like}", f"bulk/{case}_10us", "<= 1.05")
    pair("for_each of 16 numbers, to parallel_for", "bulk/for_each_few")
    ratio("for_each of 10^6 elements of 100 ns with a progress: to the same without",
          "bulk/for_each_100ns_shown/errgroup", "bulk/for_each_100ns/errgroup", "<= 1.01")
    ratio("all() of 3 calls, to three runs and a wait", "bulk/three_calls/errgroup", "bulk/three_calls/by_hand")
    absolute("any() of 3 calls", "bulk/any", "us", "", "ns", 1e-3)
    absolute("retry() of what succeeds at once", "bulk/retry", "us", "", "ns", 1e-3)
    absolute("retry() of what succeeds the third time, without pauses", "bulk/retry_twice", "us", "", "ns", 1e-3)
    absolute("spawn, wait and get, with a group", "bulk/spawn", "us", "", "ns", 1e-3)

    for slots in (16, 64):
        pair(f"pipeline of 3 stages, empty, {slots} slots, to parallel_pipeline", f"pipeline/empty_{slots}", "<= 0.5")
        pair_of_cpu("the same, processor time", f"pipeline/empty_{slots}", "<= 0.4")
    pair("the same, 64 slots, items that are numbers", "pipeline/plain_64")
    pair_of_cpu("the same, processor time", "pipeline/plain_64")
    for slots in (16, 64):
        pair(f"pipeline of 5 stages, empty, {slots} slots", f"pipeline/deep_{slots}")
        pair_of_cpu("the same, processor time", f"pipeline/deep_{slots}", "<= 0.5")
    ratio("pipeline of 3 stages, empty, 64 slots, threads and queues: times slower",
          "pipeline/empty_64/errgroup", "pipeline/empty_64/std_thread", inverted=True)
    for case, what, target in (("work_1us", "1 us", "<= 1.0"), ("work_10us", "10 us", "<= 1.02")):
        pair(f"pipeline of 3 stages, {what} of work", f"pipeline/{case}", target)
        pair_of_cpu("the same, processor time", f"pipeline/{case}")
        efficiency("the same, efficiency", f"pipeline/{case}")
    ratio("pipeline of 3 stages, 1 us of work, statistics: to the same without",
          "pipeline/stats_1us/errgroup", "pipeline/work_1us/errgroup", "<= 1.1")
    ratio("the same, processor time", "pipeline/stats_1us/errgroup", "pipeline/work_1us/errgroup", "", "cpu")
    pair("pipeline of 16 items, made and run", "pipeline/short")
    pair("pipeline whose item 1,000 throws, the whole run", "pipeline/throw", "<= 1.0")
    ratio("a stage throws, 1 us of work: to the return of the call, median",
          "pipeline/latency/errgroup", "pipeline/latency/tbb", "<= 1.0", "p50")
    ratio("the same, 99th percentile", "pipeline/latency/errgroup", "pipeline/latency/tbb", "", "p99")
    for case, what in (("stream", "a queue of 3 * threads"), ("stream_64", "a queue of 64")):
        ratio(f"stream, empty tasks, {what}: to a group with the same options",
              f"pipeline/{case}/errgroup", f"pipeline/{case}/group", "<= 1.3")
        ratio("the same, processor time", f"pipeline/{case}/errgroup", f"pipeline/{case}/group", "", "cpu")
        ratio("the same, to an unbounded group", f"pipeline/{case}/errgroup", "pipeline/stream/unbounded")

    for ranks in (2, 4):
        # With more ranks than CPUs, times tell of the kernel's turns.
        def aim(target, ranks=ranks):
            return target if ranks == 2 else ""

        def beside(what, case, theirs, target="", quantity="ns", ours="errgroup", ranks=ranks):
            ratio(f"{what}, {ranks} ranks", f"mpi/{case}_{ranks}/{ours}", f"mpi/{case}_{ranks}/{theirs}",
                  target, quantity)

        beside("wait of an idle group, to an MPI_Allreduce", "idle_wait", "allreduce", aim("<= 2.0"))
        for pause in ("5ms", "1ms"):
            beside(f"a failure, to the last wait, to a look ({pause}) and 5 (ping-pong + Allreduce)",
                   f"failure_{pause}", "bound", aim("<= 1.0"))
        beside("empty tasks, to a local group", "tasks", "local", aim("<= 1.02"))
        beside("the same, processor time", "tasks", "local", aim("<= 1.02"), "cpu")
        target = "<= 0.35" if ranks == 4 else ""
        beside("uneven elements, mpi::for_each, to a fixed split", "uneven", "fixed", target)
        beside("the same, the work of the busiest rank", "uneven", "fixed", target, "units")
        beside("the same, if all ranks had the same work", "uneven", "fixed", "", "units", "ideal")
    return rows


def label(name):
    case, contender = name.rsplit("/", 1)
    if case.endswith("_unlimited"):
        return "unlimited"
    if case == "many/limited_1k" and contender == "errgroup":
        return "of 1,000"
    return "without" if case.startswith(("error_path/", "pipeline/")) and contender == "errgroup" else contender


def number(value, unit=""):
    digits = 0 if value >= 1000 else 1 if value >= 20 else 2
    return f"{value:,.{digits}f}" + (f" {unit}" if unit else "")


def time(ns):
    for limit, scale, unit in ((1e4, 1, "ns"), (1e7, 1e-3, "us"), (1e10, 1e-6, "ms")):
        if ns < limit:
            return number(ns * scale, unit)
    return number(ns * 1e-9, "s")


def shown(value, unit):
    if unit or value >= 20:
        return number(value, unit)
    return f"{value:.2f}"


def verdict(printed, target):
    if not target:
        return ""
    comparison, bound = target.split()
    value = float(printed.split()[0].replace(",", ""))
    reached = value <= float(bound) if comparison == "<=" else value >= float(bound)
    return "reached" if reached else "MISSED"


def render(rows):
    lines = [("what", "errgroup", "beside", "value", "range", "target", "")]
    for what, ours, beside, value, unit, target in rows:
        median = shown(value.whole, unit)
        spread = f"{number(min(value.rounds))} to {number(max(value.rounds))}"
        aim = target.replace("<=", "at most").replace(">=", "at least")
        if aim and unit:
            aim += f" {unit}"
        lines.append((what, ours, beside, median, spread, aim, verdict(median, target)))
    return columns(lines)


def columns(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    out = []
    for index, line in enumerate(lines):
        out.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if index == 0:
            out.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(out)


def everything(samples, middle):
    """Every benchmark's time per task, a line per case."""
    cases = sorted({name.rsplit("/", 1)[0] for name in samples})
    lines = [("time per task", *CONTENDERS)]
    for case in cases:
        if case.endswith("/memory"):
            continue
        cells = []
        for contender in CONTENDERS:
            rounds = samples.get(f"{case}/{contender}", {}).get("ns", [])
            flat = [v for values in rounds for v in values]
            cells.append(time(middle(flat)) if flat else "")
        lines.append((case, *cells))
    return columns(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="Google Benchmark's JSON files")
    parser.add_argument("--all", action="store_true", help="also print every contender's time per task")
    parser.add_argument("--fastest", action="store_true", help="the fastest repetition instead of the median")
    parser.add_argument("--record", metavar="STEM", help="write STEM.json and STEM.md")
    parser.add_argument("--fact", action="append", default=[], metavar="NAME=VALUE",
                        help="what else belongs into the record: machine, commit, command")
    arguments = parser.parse_args()

    context, samples, wrong = load(arguments.files)
    if wrong:
        print("wrong answers:", *sorted(set(wrong)), sep="\n  ", file=sys.stderr)
        return 1
    middle = min if arguments.fastest else statistics.median
    rows = table(context, samples, middle)
    print(render(rows))
    if arguments.all:
        print()
        print(everything(samples, middle))

    if arguments.record:
        facts = dict(fact.split("=", 1) for fact in arguments.fact)
        # Not the whole context: it names the host and the folder of the program.
        for name in ("threads", "onetbb", "compiler", "build", "google_benchmark"):
            facts[name] = context[name]
        facts["load when it began"] = str(context["load_avg"][0])
        facts["rounds"] = str(max((len(q["ns"]) for q in samples.values()), default=0))
        with open(arguments.record + ".json", "w", encoding="utf-8") as file:
            record = {"facts": facts, "per task: ns, cpu: ns, bytes_each; p50, p99, max: ns; peak_bytes: MB; file_bytes: KB":
                      {name: {quantity: [[float(f"{v:.5g}") for v in values] for values in rounds]
                              for quantity, rounds in quantities.items()}
                       for name, quantities in samples.items()}}
            # A line per benchmark.
            body = json.dumps(record, indent=1)
            file.write(compact(body) + "\n")
        with open(arguments.record + ".md", "w", encoding="utf-8") as file:
            file.write("# Benchmarks of " + facts.get("date", "?") + "\n\n")
            file.write("".join(f"- {name}: {value}\n" for name, value in facts.items()))
            kind = "the fastest repetitions" if arguments.fastest else "medians"
            file.write(f"\nValues are {kind}; the range is that of the rounds' own values.\n\n")
            file.write(render(rows) + "\n\n" + everything(samples, middle) + "\n")
        print(f"\nwritten: {arguments.record}.md and .json", file=sys.stderr)
    return 0


def compact(text):
    """Puts lists of numbers on one line."""
    out = []
    depth = 0
    for line in text.split("\n"):
        stripped = line.strip()
        if depth:
            out[-1] += stripped if stripped.startswith("]") else (" " if out[-1][-1] == "," else "") + stripped
        else:
            out.append(line)
        depth += stripped.count("[") - stripped.count("]")
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())
