#!/usr/bin/env python3
"""Compile time and size: each public header, a small use of it, and small programs, beside oneTBB.

A time is the processor time of the compiler, as a ratio to that for a file which includes
<oneapi/tbb/task_group.h> alone, or for the same small program with raw oneTBB. All files take turns,
in another order in each round; a value is the ratio of two medians. Programs have to answer 0.

Compilers and the linker look for oneTBB where they always do, and in CPATH and LIBRARY_PATH.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

from ratios import columns, compact

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADERS = ROOT / "include" / "errgroup"
FLAGS = ["-std=c++20", "-O2", "-ffunction-sections", "-fdata-sections"]
BASE = "oneapi/tbb/task_group.h"

# The smallest sensible use of a header, as the body of a function that returns bool. A header that is
# missing here has no use of its own.
USES = {
    BASE: "tbb::task_group g; g.run([] {}); return g.wait() == tbb::complete;",
    "all.hpp": "return errgroup::all([] { return 1; }, [] { return 2; }).has_value();",
    "any.hpp": "return errgroup::any([] { return 1; }, [] { return 2; }).has_value();",
    "dump.hpp": "errgroup::dump(std::cerr); return true;",
    "errgroup.hpp": "errgroup::group g; g.run([] {}); return !g.wait();",
    "for_each.hpp": "int v[9] = {}; return !errgroup::for_each(v, [](int& i) { i = 1; });",
    "group.hpp": "errgroup::group g; g.run([] {}); return !g.wait();",
    "observer.hpp": "static errgroup::observer o; return errgroup::observe(&o) == nullptr;",
    "pipeline.hpp": "int n = 0; return !errgroup::pipeline("
                    "errgroup::stage::source([&] { return n < 9 ? std::optional(++n) : std::nullopt; }), "
                    "errgroup::stage::in_order([](int) {}));",
    "progress.hpp": "errgroup::progress p({}, [](errgroup::progress_view const&) {}); p.add(1); return true;",
    "reduce.hpp": "int v[9] = {}; return errgroup::reduce(v, 0, std::plus<>(), std::plus<>()).has_value();",
    "result.hpp": "errgroup::result<int> r(1); return r.has_value();",
    "retry.hpp": "return errgroup::retry({.attempts = 2}, [] { return 1; }).has_value();",
    "scope.hpp": "return !errgroup::scope([](errgroup::group& g) { g.run([] {}); });",
    "spawn.hpp": "errgroup::group g; auto h = errgroup::spawn(g, [] { return 1; }); return h.get().has_value();",
    "stream.hpp": "errgroup::stream<int> s({.limit = 2}, [](int) {}); s.run([] { return 1; }); return !s.wait();",
    "take.hpp": "return errgroup::take(1, [] { return 1; }, [] { return 2; }).has_value();",
    "transform.hpp": "int v[9] = {}; return errgroup::transform(v, [](int i) { return i; }).has_value();",
    "waterfall.hpp": "return errgroup::waterfall(1, [](int i) { return i; }).has_value();",
}
INCLUDES_OF_USE = {"dump.hpp": ["iostream"], "reduce.hpp": ["functional"]}

# What a program does, and its files: with errgroup, and with raw oneTBB if it can do that.
PROGRAMS = {
    "one task": ("program/errgroup.cpp", "program/tbb.cpp"),
    "at most two tasks at once": ("compile/limit_errgroup.cpp", "compile/limit_tbb.cpp"),
    "a failure, printed": ("compile/error_errgroup.cpp", "compile/error_tbb.cpp"),
    "a timeout, a task after a time": ("compile/timeout_errgroup.cpp", None),
    "a loop": ("compile/for_each_errgroup.cpp", "compile/for_each_tbb.cpp"),
    "a sum": ("compile/reduce_errgroup.cpp", "compile/reduce_tbb.cpp"),
    "a pipeline": ("compile/pipeline_errgroup.cpp", "compile/pipeline_tbb.cpp"),
}


def fail(message):
    sys.exit(f"compile_cost.py: {message}")


def processor_time(command):
    """Runs a command, and returns its processor time in ms, that of its children included."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            print(output.read().decode(errors="replace"), file=sys.stderr)
            fail(f"this failed ({process.returncode}): {' '.join(map(str, command))}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def label(compiler):
    return os.path.basename(compiler)


def output_of(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class subject:
    """A file to compile, and what was found out about it."""

    def __init__(self, source):
        self.source = source
        self.times = {}  # of each compiler, in ms
        self.bytes = {}  # of each compiler: code, tables and constants of the object, or the program's file

    def object_of(self, compiler):
        return self.source.with_suffix(f".{label(compiler)}.o")

    def compile(self, compiler):
        command = [compiler, *FLAGS, f"-I{ROOT / 'include'}", "-c", self.source, "-o", self.object_of(compiler)]
        self.times.setdefault(compiler, []).append(processor_time(command))

    def time(self, compiler):
        return statistics.median(self.times[compiler])

    def range(self, compiler, beside):
        ratios = [a / b for a, b in zip(self.times[compiler], beside.times[compiler])]
        return f"{min(ratios):.2f} to {max(ratios):.2f}"


def write(folder, name, text):
    path = folder / (name.replace("/", "_").replace(".", "_") + ".cpp")
    path.write_text(text)
    return subject(path)


def make_headers(folder, names):
    return {name: write(folder, "include_" + name, f"#include <{full_name(name)}>\n") for name in names}


def make_uses(folder, names):
    uses = {}
    for name in names:
        if name in USES:
            includes = "".join(f"#include <{i}>\n" for i in [full_name(name), *INCLUDES_OF_USE.get(name, [])])
            uses[name] = write(folder, "use_" + name, f"{includes}bool use() {{ {USES[name]} }}\n")
    return uses


def check_uses(folder, compiler):
    """Compiles all uses as one file, so that a mistake shows before anything is measured."""
    headers = ["".join(f"#include <{i}>\n" for i in [full_name(name), *INCLUDES_OF_USE.get(name, [])]) for name in USES]
    functions = [f"bool use_{i}() {{ {body} }}\n" for i, body in enumerate(USES.values())]
    one = write(folder, "all_uses", "".join(headers + functions))
    processor_time([compiler, *FLAGS, f"-I{ROOT / 'include'}", "-fsyntax-only", one.source])


def full_name(name):
    return name if "/" in name else "errgroup/" + name


def make_programs(folder, names):
    programs = {}
    for name in names:
        pair = []
        for file in PROGRAMS[name]:
            if file is not None:
                pair.append(write(folder, file, (ROOT / "perf" / file).read_text()))
        programs[name] = pair
    return programs


def count_lines(one, compiler):
    command = [compiler, *FLAGS, f"-I{ROOT / 'include'}", "-E", "-P", one.source]
    return sum(1 for line in output_of(command).splitlines() if line.strip())


def measure_objects(uses, compiler):
    for use in uses.values():
        row = output_of(["size", str(use.object_of(compiler))]).splitlines()[1].split()
        use.bytes[compiler] = int(row[0])


def measure_programs(programs, compiler, library):
    for pair in programs.values():
        for one in pair:
            program = one.source.with_suffix("." + label(compiler))
            link = [compiler, one.object_of(compiler), "-s", "-Wl,--gc-sections", library, "-ltbb", "-o", program]
            processor_time(link)
            processor_time([program])  # fails unless the program answers 0
            one.bytes[compiler] = program.stat().st_size


def number(value):
    return f"{value:,.0f}"


def kilobytes(value):
    return f"{value / 1000:.1f}"


def header_table(headers, uses, lines, compilers):
    head = ["header", "lines"]
    for figure in ("time", "a use", "bytes"):
        head += [f"{label(c)}: {figure}" for c in compilers]
    rows = [tuple(head)]
    for name, one in headers.items():
        row = [f"`<{full_name(name)}>`", number(lines[name])]
        row += [f"{one.time(c) / headers[BASE].time(c):.2f}" for c in compilers]
        use = uses.get(name)
        row += [f"{use.time(c) / uses[BASE].time(c):.2f}" if use else "" for c in compilers]
        row += [number(use.bytes[c]) if use else "" for c in compilers]
        rows.append(tuple(row))
    return columns(rows)


def program_table(programs, compilers):
    head = ["program"]
    for c in compilers:
        head += [f"{label(c)}: time", "range", "KB", "KB with oneTBB"]
    rows = [tuple(head)]
    for name, (ours, *raw) in programs.items():
        row = [name]
        for c in compilers:
            time = [f"{ours.time(c) / raw[0].time(c):.2f}", ours.range(c, raw[0])] if raw else ["", ""]
            row += [*time, kilobytes(ours.bytes[c]), kilobytes(raw[0].bytes[c]) if raw else ""]
        rows.append(tuple(row))
    return columns(rows)


def compilers_named(names):
    found = [name for name in names if shutil.which(name)]
    for name in names:
        if name not in found:
            print(f"compile_cost.py: there is no {name} here: left out", file=sys.stderr)
    if not found:
        fail(f"none of these compilers is here: {', '.join(names)}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True, help="the static library of errgroup")
    parser.add_argument("--compiler", action="append", help="default: g++ and clang++-19; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="how often each file is compiled")
    parser.add_argument("--smoke", action="store_true", help="one header and one program, once")
    parser.add_argument("--record", metavar="STEM", help="write STEM.json and STEM.md")
    parser.add_argument("--fact", action="append", default=[], metavar="NAME=VALUE",
                        help="what else belongs into the record: machine, commit, command")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        fail("--rounds wants a number from 1")
    if not os.path.exists(arguments.library):
        fail(f"there is no library {arguments.library}: build the target errgroup first")
    compilers = compilers_named(arguments.compiler or ["g++", "clang++-19"])
    rounds = 1 if arguments.smoke else arguments.rounds
    names = sorted(path.name for path in HEADERS.glob("*.hpp"))
    unknown = set(USES) - {BASE} - set(names)
    if unknown:
        fail(f"there are uses of headers that do not exist: {', '.join(sorted(unknown))}")
    names = [BASE, *(["group.hpp"] if arguments.smoke else names)]

    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        headers = make_headers(folder, names)
        uses = make_uses(folder, names)
        programs = make_programs(folder, list(PROGRAMS)[:1] if arguments.smoke else PROGRAMS)
        everything = [*headers.values(), *uses.values(), *(one for pair in programs.values() for one in pair)]
        for compiler in compilers:
            check_uses(folder, compiler)
            headers[BASE].compile(compiler)  # reads the files for the first time
            headers[BASE].times.clear()
        order = random.Random(1)
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}", file=sys.stderr)
            turns = [(one, compiler) for one in everything for compiler in compilers]
            order.shuffle(turns)
            for one, compiler in turns:
                one.compile(compiler)
        lines = {name: count_lines(one, compilers[0]) for name, one in headers.items()}
        for compiler in compilers:
            measure_objects(uses, compiler)
            measure_programs(programs, compiler, arguments.library)

        tables = header_table(headers, uses, lines, compilers) + "\n\n" + program_table(programs, compilers)
        print(tables)
        if arguments.record:
            record(arguments, rounds, compilers, tables, headers, uses, programs)


def record(arguments, rounds, compilers, tables, headers, uses, programs):
    facts = dict(fact.split("=", 1) for fact in arguments.fact)
    for compiler in compilers:
        facts[label(compiler)] = output_of([compiler, "--version"]).splitlines()[0]
        base = headers[BASE].time(compiler)
        facts[f"{label(compiler)}, <{BASE}>"] = f"{base:,.0f} ms"
    facts["flags"] = " ".join(FLAGS)
    facts["rounds"] = str(rounds)
    groups = {"include": headers, "use": uses}
    groups["program"] = {f"{name}/{kind}": one for name, pair in programs.items()
                         for kind, one in zip(("errgroup", "tbb"), pair)}
    figures = {f"{group}/{name}": {"ms": {label(c): [round(t, 1) for t in one.times[c]] for c in compilers},
                                   "bytes": {label(c): b for c, b in one.bytes.items()}}
               for group, ones in groups.items() for name, one in ones.items()}
    with open(arguments.record + ".json", "w", encoding="utf-8") as file:
        file.write(compact(json.dumps({"facts": facts, "compiling: ms, bytes": figures}, indent=1)) + "\n")
    with open(arguments.record + ".md", "w", encoding="utf-8") as file:
        file.write(f"# Compile time and size on {facts.get('date', '?')}\n\n")
        file.write("".join(f"- {name}: {value}\n" for name, value in facts.items()))
        file.write("\nWhat the columns mean is in [the description](../README.md#compile-time-and-size).\n\n")
        file.write(tables + "\n")
    print(f"\nwritten: {arguments.record}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
