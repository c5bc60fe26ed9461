#!/usr/bin/env python3
"""Holds the documents to the tree: run by ctest as docs.check, or by hand.

- Code in README.md, docs/from_tbb.md, docs/errors.md and docs/results.md is code of examples/, which
  compiles and runs.
- The tests that docs/guarantees.md names exist, and every promise names at least one.
- Links between the documents lead to files, lines are at most 100 columns long.
"""

import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE_OF = {
    "README.md": ["examples/readme.cpp", "examples/results.cpp"],
    "docs/from_tbb.md": ["examples/from_tbb.cpp"],
    "docs/errors.md": ["examples/errors.cpp"],
    "docs/results.md": ["examples/results.cpp"],
}
problems = []


def lines_of(text):
    """The lines without indentation and empty lines: what clang-format may change."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_part_of(part, whole):
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def check_code(document, sources):
    wholes = [lines_of((ROOT / source).read_text()) for source in sources]
    for block in re.findall(r"```cpp\n(.*?)```", (ROOT / document).read_text(), re.S):
        if not any(is_part_of(lines_of(block), whole) for whole in wholes):
            problems.append(f"{document}: this is not in {' or '.join(sources)}:\n{block}")


def tests():
    names = set()
    for source in (ROOT / "test").rglob("*.cpp"):
        pattern = r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)"  # over lines, too
        names.update(".".join(found) for found in re.findall(pattern, source.read_text(), re.M))
    return names


def check_guarantees():
    known = tests()
    for line in (ROOT / "docs/guarantees.md").read_text().splitlines():
        promise = re.match(r"\| \*\*([A-Z]\d)\*\*", line)
        named = re.findall(r"`([*\w]+\.[A-Z]\d_[*\w]*)`", line)
        if promise and not named and promise[1][0] != "P":
            problems.append(f"docs/guarantees.md: {promise[1]} names no test")
        problems.extend(
            f"docs/guarantees.md: there is no test {name}"
            for name in named
            if not fnmatch.filter(known, name)
        )


def check_text(document):
    code = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        code ^= line.startswith("```")
        where = f"{document.relative_to(ROOT)}:{number}"
        if len(line) > 100 and not line.startswith("|"):
            problems.append(f"{where}: {len(line)} columns")
        for target in [] if code else re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", line):
            if not (document.parent / target).exists():
                problems.append(f"{where}: {target} does not exist")


for document, sources in CODE_OF.items():
    check_code(document, sources)
check_guarantees()
for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
    check_text(document)
print("\n".join(problems), end="\n" if problems else "")
sys.exit(1 if problems else 0)
