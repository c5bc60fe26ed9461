#!/usr/bin/env python3
"""Prints instructions per operation, beside raw oneTBB and beside an earlier count.

COUNTS has a line per benchmark: the case, the contender, the calling thread's instructions, the number
of operations, and the percentage of the processor time that other threads used. If that is more than
MOST_BY_OTHERS, other threads ran tasks whose instructions are not counted: the count is refused, neither
compared nor recorded.
RECORD is a JSON file with the earlier counts. With --record the new counts replace those of the same
cases there.
"""

import argparse
import json
import os

MOST_BY_OTHERS = 1.0


def load(path):
    """counts[case][contender] = instructions per operation, and refused[case] = why there are none."""
    counts = {}
    refused = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            case, contender, instructions, operations, others = line.split()
            counts.setdefault(case, {})[contender] = round(int(instructions) / int(operations), 1)
            if float(others) > MOST_BY_OTHERS:
                refused[case] = f"not counted: other threads used {others} % of {contender}'s processor time"
    return {case: count for case, count in counts.items() if case not in refused}, refused


def change(before, after):
    return f"{(after / before - 1) * 100:+.1f} %" if before else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record_file", metavar="RECORD")
    parser.add_argument("counts", metavar="COUNTS")
    parser.add_argument("--record", action="store_true", help="write the counts to RECORD")
    parser.add_argument("--fact", action="append", default=[], metavar="NAME=VALUE",
                        help="what else belongs into the record: commit, versions")
    arguments = parser.parse_args()

    record = {"facts": {}, "instructions per operation": {}}
    if os.path.exists(arguments.record_file):
        with open(arguments.record_file, encoding="utf-8") as file:
            record = json.load(file)
    before = record["instructions per operation"]
    after, refused = load(arguments.counts)

    print("instructions per operation, one thread")
    if record["facts"]:
        print("before:", ", ".join(f"{name} {value}" for name, value in record["facts"].items()))
    row = "{:<18}{:>10}{:>10}{:>10}{:>10}{:>10}".format
    print(row("case", "tbb", "errgroup", "ratio", "before", "change"))
    for case, counts in after.items():
        ours = counts["errgroup"]
        then = before.get(case, {}).get("errgroup")
        print(row(case, counts["tbb"], ours, f"{ours / counts['tbb']:.2f}", then or "", change(then, ours)))

    for case, why in refused.items():
        print(f"{case:<18}  {why}")

    if arguments.record:
        for case in refused:
            before.pop(case, None)
        record["facts"] = dict(fact.split("=", 1) for fact in arguments.fact)
        before.update(after)
        lines = ",\n".join(f"  {json.dumps(case)}: {json.dumps(counts)}" for case, counts in before.items())
        with open(arguments.record_file, "w", encoding="utf-8") as file:
            file.write(f'{{\n "facts": {json.dumps(record["facts"])},\n'
                       f' "instructions per operation": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
