#!/usr/bin/env python3
"""Holds the documents to the tree: run by ctest as docs.check, or by hand.

- Code in README.md and in the documents of CODE_OF is code of examples/, which
  compiles and runs.
- The tests that docs/guarantees.md names exist, and every promise names at least one.
- Links between the documents lead to files, lines are at most 100 columns long.
- A part of the engine includes only headers of parts that it may know, and makes no class of another
  part its friend.

With --engine it prints the size of the engine instead, and fails where a figure is above its limit.
"""

import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE_OF = {
    "README.md": """examples/readme.cpp examples/features.cpp examples/results.cpp
        examples/pipelines.cpp examples/observing.cpp""".split(),
    "docs/faq.md": ["examples/faq.cpp"],
    "docs/from_go.md": ["examples/from_go.cpp"],
    "docs/from_tbb.md": ["examples/from_tbb.cpp"],
    "docs/errors.md": ["examples/errors.cpp"],
    "docs/results.md": ["examples/results.cpp"],
    "docs/observing.md": ["examples/observing.cpp", "examples/inspect/main.cpp"],
    "docs/pipelines.md": ["examples/pipelines.cpp"],
    "docs/getting_started.md": ["examples/getting_started/*.cpp"],
    "docs/cookbook.md": ["examples/cookbook/*.cpp"],
}
problems = []


def lines_of(text):
    """The lines without indentation and empty lines: what clang-format may change."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_part_of(part, whole):
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def check_code(document, sources):
    files = [file for source in sources for file in sorted(ROOT.glob(source))]
    wholes = [lines_of(file.read_text()) for file in files]
    for block in re.findall(r"```cpp\n(.*?)```", (ROOT / document).read_text(), re.S):
        if not any(is_part_of(lines_of(block), whole) for whole in wholes):
            problems.append(f"{document}: this is not in {' or '.join(sources)}:\n{block}")


def tests():
    names = set()
    for source in (ROOT / "test").rglob("*.cpp"):
        pattern = r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)"  # over lines, too
        names.update(".".join(found) for found in re.findall(pattern, source.read_text(), re.M))
    for source in (ROOT / "test").rglob("*.py"):
        for of, body in re.findall(r"^class (\w+)\(.*\n((?:(?: .*)?\n)+)", source.read_text(), re.M):
            names.update(f"{of}.{name}" for name in re.findall(r"^    def test_(\w+)", body, re.M))
    packages = (ROOT / "test/package/consume.cmake").read_text()
    names.update(f"package.{kind}" for kind in re.findall(r'KIND STREQUAL "(\w+)"', packages))
    return names


def check_guarantees():
    known = tests()
    for line in (ROOT / "docs/guarantees.md").read_text().splitlines():
        promise = re.match(r"\| \*\*([A-Z]\d)\*\*", line)
        named = re.findall(r"`([*\w]+\.[A-Z]\d_[*\w]*|package\.\w+)`", line)
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


# --- the engine's parts ---------------------------------------------------------------------------

# Each part and the parts that it may know, from low to high. A part that has no file yet is skipped.
# Its files: include/errgroup/detail/<part>.hpp, src/<part>.hpp, src/<part>.cpp; the header of
# `group` is the public one. Headers that are no part (error.hpp, clock.hpp, oneTBB's) are free.
PARTS = {
    "sync": [],
    "slot": [],
    "task_frame": ["sync"],
    "first_error": ["sync"],
    "cancel_node": ["sync", "task_frame"],
    "node": ["sync"],
    "task_queue": ["sync", "node"],
    "runner": ["sync", "node", "task_queue"],
    "helpers": ["sync", "node", "task_queue", "runner", "task_frame"],
    "waiting": ["sync", "node", "task_queue", "runner"],
    "place_line": ["sync", "node", "task_queue", "runner", "waiting"],
    "slots": ["sync", "node", "task_queue"],
    "timer": ["sync"],
    "deadline": ["sync", "node", "task_queue", "timer"],
    "group_core": """sync task_frame first_error cancel_node node task_queue runner helpers waiting
        place_line slots timer deadline""".split(),
    "group": ["group_core"],
    # of a pipeline, above the group
    "gate": ["sync", "slot"],
    "lanes": ["sync", "slot", "gate"],
    "pipeline_run": ["sync", "slot", "gate", "lanes", "group"],
}
# Headers of a part that have another name than the part.
PART_OF = {
    "thread_state": "task_frame",
    "sleeper": "task_queue",
    "task_list": "task_queue",
    "group_parts": "group_core",
    "group_time": "group_core",
    "worker": "group_core",
    "submit": "group_core",
    "group_bits": "group_core",
    "task_label": "group_core",
    "task_start": "group_core",
    "weighed": "group_core",
    "place_loops": "place_line",
    "place_turns": "place_line",
}
# A part, and what it may include, or have as a friend, beside that.
KNOWN = [
    ("group", "friend extend::access"),  # the door for code that builds on groups
]


FRIEND = re.compile(r"\bfriend\s+(?:class\s+|struct\s+)?([\w:]+)\s*(?:<[^;(]*>)?;")
DEFINED = re.compile(
    r"\b(?:class|struct)\s+(?:alignas\(\w+\)\s+)?(?:[A-Z_]+\s+)?(?:\w+::)*(\w+)\b[^;{()]*{"
)


def files_of(part):
    names = [f"include/errgroup/detail/{part}.hpp", f"src/{part}.hpp", f"src/{part}.cpp"]
    if part == "group":
        names.append("include/errgroup/group.hpp")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def without_comments(text):
    """The code, with the same lines, without comments and without what is in strings."""
    pattern = r"""//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|(?<!\w)'(?:[^'\\\n]|\\.)*'"""
    return re.sub(pattern, lambda found: re.sub(r"[^\n]+", " ", found[0]), text, flags=re.S)


def check_parts():
    """Returns the entries of KNOWN that are still needed."""
    order = list(PARTS)
    for part, known in PARTS.items():
        for other in known:
            assert order.index(other) < order.index(part), f"{part} is below {other}"
    needed = set()

    def tell(part, what, message):
        if (part, what) in KNOWN:
            needed.add((part, what))
        else:
            problems.append(message)

    for part, known in PARTS.items():
        for file in files_of(part):
            where = file.relative_to(ROOT)
            text = file.read_text()
            for path in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+\.hpp)[>"]', text, re.M):
                if "/" in path and not path.startswith("errgroup/"):
                    continue
                stem = pathlib.PurePath(path).stem
                other = PART_OF.get(stem, stem)
                if other in PARTS and other != part and other not in known:
                    may = ", ".join(known) or "no other part"
                    message = f"{where}: the part {part} may not include {path}: it may know {may}"
                    tell(part, other, message)
            own = "".join(without_comments(f.read_text()) for f in files_of(part))
            for friend in FRIEND.findall(without_comments(text)):
                if friend.split("::")[-1] not in DEFINED.findall(own):
                    message = f"{where}: the friend {friend} is no class of the part {part}"
                    tell(part, f"friend {friend}", message)
    return needed


# --- the engine's size ----------------------------------------------------------------------------

# The engine: the files in src/ and include/errgroup/detail/ but for these, and group.hpp.
NOT_ENGINE = """bound bulk check_options compiler config dump error error_context error_list
    error_order error_text exception_group export extend failure_callback failures forced_unwind gate
    item_flow json_text lanes later_body layout listeners lost_error observation outcome
    outermost pipeline_run pipeline_stats place_text progress retry slot source_body sources spawn spin_mutex
    stack stage_function stream_core""".split()
ENGINE_LINES = 3600
FILE_LINES = 500
LINES_OF = {"include/errgroup/group.hpp": 400}
MEMBERS = 12
# Figures that are above their limits, and may not grow. Lower an entry with its figure; remove it
# when the figure has reached the limit.
RATCHET = {
    # docs/decisions/0012-parts.md, 0014-observation.md and 0016 to 0019
    "lines of the engine": 10900,
    # the calls that give up, and their contracts: docs/decisions/0017-giving-up.md
    "include/errgroup/group.hpp": 590,
}


def engine_files():
    files = [*(ROOT / "src").glob("*.?pp"), *(ROOT / "include/errgroup/detail").glob("*.hpp")]
    engine = [ROOT / "include/errgroup/group.hpp"]
    return sorted(engine + [file for file in files if file.stem not in NOT_ENGINE])


CLASS = re.compile(
    r"""\b(?<!enum\ )(?:class|struct|union)\s+
        (?:\[\[.*?\]\]\s*)?(?:alignas\([^)]*\)\s*)?(?:[A-Z_]{3,}\s+)?
        ([\w:]+)(?:<[^;{}]*>)?\s*(?:final\s*)?(?::[^;{}()]*)?{""",
    re.X,
)
NO_MEMBER = re.compile(
    r"""(?:using|typedef|friend|static|template|class|struct|enum|union|operator)\b
        (?!.*}\s*\w)""",
    re.X,
)
DECLARATION = re.compile(r"[\w:*&\s]+[\s*&]\w+\s*(?:\[[^\]]*\]\s*)*(?::\s*\d+)?\s*")


def data_members(code):
    """Pairs of a class in the code and how many data members it has that are not static."""
    for found in CLASS.finditer(code):
        depth, statement, members = 1, "", 0
        for at in range(found.end(), len(code)):
            c = code[at]
            if c == "}":
                depth -= 1
                if depth == 0:
                    break
                if depth == 1:
                    statement += "}"
                    if not re.match(r"\s*[,;{]", code[at + 1 : at + 200]):  # a function's body
                        statement = ""
                continue
            if depth == 1 and c == ";":
                members += is_data_member(statement)
                statement = ""
            elif depth == 1:
                statement += c
            depth += c == "{"
        yield found[1], members


def is_data_member(statement):
    statement = re.sub(r"\b(?:public|private|protected)\s*:(?!:)", " ", statement)
    statement = re.sub(r"^\s*#.*$", " ", statement, flags=re.M)
    statement = re.sub(r"\[\[.*?\]\]|alignas\([^)]*\)", " ", statement).strip()
    if NO_MEMBER.match(statement) or re.search(r"\boperator\b", statement):
        return False
    while (shorter := re.sub(r"<[^<>]*>", " ", statement)) != statement:
        statement = shorter
    statement = re.sub(r"(?<![<>=!])=(?!=).*|{}\s*$", " ", statement, flags=re.S)
    return bool(DECLARATION.fullmatch(statement))


def check_engine():
    """Prints the figures of the engine."""

    def tell(name, figure, limit, where=""):
        most = max(limit, RATCHET.get(name, 0))
        note = f"aim: {limit}" if figure > limit else ""
        if name in RATCHET and not note:
            note = "needs no entry in RATCHET any more"
        print(f"{name:<45} {figure:>5}, at most {most:>4}  {note:<9} {where}".rstrip())
        if figure > most:
            problems.append(f"{where or name}: {name}: {figure} is more than {most}")

    lines = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in engine_files()}
    tell("lines of the engine", sum(lines.values()), ENGINE_LINES)
    for name, count in lines.items():
        tell(name, count, LINES_OF.get(name, FILE_LINES))
    for name in lines:
        for of, count in data_members(without_comments((ROOT / name).read_text())):
            if count > MEMBERS // 2:
                tell(f"data members of {of}", count, MEMBERS, name)
    for part, other in set(KNOWN) - check_parts():
        print(f"{part}, {other}: needs no entry in KNOWN any more")


def check_documents():
    for document, sources in CODE_OF.items():
        check_code(document, sources)
    check_guarantees()
    documents = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
    documents += [ROOT / "packaging/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for document in documents:
        check_text(document)
    check_parts()


if sys.argv[1:] == ["--engine"]:
    check_engine()
elif not sys.argv[1:]:
    check_documents()
else:
    sys.exit("usage: check.py [--engine]")
print("\n".join(problems), end="\n" if problems else "")
sys.exit(1 if problems else 0)
