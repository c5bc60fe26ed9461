#!/usr/bin/env python3
"""Measures the English of the comments, and holds it to limits. `scripts/format` runs this script.

Two shares of the words are measured, in per cent, for each folder:

- Stand-ins are words that stand for a noun that is somewhere else: it, they, those, "after that".
  A reader has to look for the noun. By this measure abseil's headers and oneTBB's have 1.9 and 1.7 %
  of them in their comments, Go's runtime/proc.go 3.1 %.
- Riddling words are the stand-ins that do not even point at a noun: what, who, somebody, one, others.
  The same libraries have 0.1 %.

The measure is an approximation: it looks at a word and its two neighbours, not at the grammar. So it
is made for folders and files. A single sentence that it reports may be good English.

What counts is the text of C++ comments without code: no text in backquotes, no indented block, no
list of names behind an #include. Each text in backquotes counts as one word.

    scripts/english.py                    the figures of all folders and their worst files
    scripts/english.py --check            fails if a folder is above its limit
    scripts/english.py --worst src        the worst sentences of a folder or of files
"""

import argparse
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Share:
    """Per cent of the words."""

    stand_ins: float
    riddles: float


AIM = Share(stand_ins=8, riddles=1.5)

# The limit of each folder. A limit above AIM is a ratchet: the share of the day on which it was set,
# rounded up to the next half per cent. Lower it when the comments have got better; never raise it.
LIMITS = {
    "include": AIM,
    "src": AIM,
    "stacktrace": Share(9.5, 3.5),
    "trace": AIM,
    "test": Share(10, 4),
    "perf": Share(8, 3),
    "examples": Share(8.5, 3.5),
}

# --- comments ------------------------------------------------------------------------------------

# What the scanner has to tell apart. Order matters: the first alternative that matches wins.
PIECES = re.compile(
    r"""
      (?P<line> //[^\n]* )
    | (?P<block> /\*.*?\*/ )
    | R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"
    | "(?:[^"\\\n]|\\.)*"
    | (?<![0-9A-Za-z_])(?:u8|[uUL])?'(?:[^'\\\n]|\\.)*'
    """,
    re.X | re.S,
)


@dataclasses.dataclass
class Line:
    number: int
    text: str
    alone: bool  # nothing but the comment is on the line


def comment_lines(source):
    """The lines of all comments, without their marks."""
    for piece in PIECES.finditer(source):
        if not piece["line"] and not piece["block"]:
            continue
        start = piece.start()
        number = source.count("\n", 0, start) + 1
        before = source[source.rfind("\n", 0, start) + 1 : start].strip()
        if piece["line"]:
            text = re.sub(r"^//[/!]?<?", "", piece["line"])
            if not before.startswith("#") and not (before.startswith("}") and "namespace" in text):
                yield Line(number, text, not before)
        elif not re.fullmatch(r"/\*\s*\S*\s*\*/", piece["block"]):  # more than a parameter's name
            for i, text in enumerate(piece["block"][2:-2].split("\n")):
                yield Line(number + i, re.sub(r"^\s*\*+ ?", " ", text), not before)


def is_prose(text):
    return bool(text.strip()) and not re.match(
        r"\s*SPDX-License-Identifier|\s*clang-format (on|off)|\s*NOLINT|\s{4,}\S|[-=*\s]+$", text
    )


def paragraphs(source):
    """The comments as lists of lines: what is read in one go."""
    lines = []
    for line in comment_lines(source):
        if lines and not (line.alone and lines[-1].alone and line.number == lines[-1].number + 1):
            yield lines
            lines = []
        if is_prose(line.text):
            lines.append(line)
        elif lines and re.match(r"\s{4,}\S", line.text):
            lines.append(line)  # the rest of "Throws: ...", which is indented
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


# --- words ---------------------------------------------------------------------------------------

TOKENS = re.compile(r"`[^`]*`|[A-Za-z][A-Za-z'’]*(?:-[A-Za-z']+)*|\d[\w.,]*|[^\w\s]+")
CODE = "`"

RIDDLES = set(
    """what who whom whoever whatever somebody anybody nobody everybody someone anyone everyone
    ones others""".split()
)
STAND_INS = RIDDLES | set("whose it they them theirs else".split())
FUNCTION_WORDS = set(
    """a an the and or but nor if unless until when while where because since so as than that which
    who whose what this these those it they we you he of in for by with from to at after before on
    into onto under over above below behind beside between through during without within about
    against like per via upon
    is are was were be been being am has have had does do did can could may might must shall should
    will would need not no never only also too still already just again even always then there here
    both all either neither""".split()
)
# Verbs in the form that follows "that" or "one": third person, singular. A word with an s at its end
# is taken for such a verb behind "this", whose noun has no such ending.
VERBS = set(
    """is was has had does did can could may might must shall should will would comes goes takes gives
    makes means needs runs waits holds keeps ends starts begins calls returns throws fails sets reads
    writes sees knows says tells asks leaves lets works happens costs depends applies belongs stands
    helps became becomes came went took gave made ran held kept ended started began returned
    threw failed said told asked left let worked happened""".split()
)
# Between these two a "that" begins a clause and stands for nothing.
CLAUSE_BEGINS = set(
    """so say says said tell tells told know knows known note notes mean means see sees sure ensure
    ensures assume assumes suppose show shows promise promises guarantee guarantees find finds
    fact""".split()
)
CLAUSE_SUBJECTS = set("the a an it they this these there no all both each its their".split())
PREPOSITIONS = set(
    """of in for by with from to at after before on into under over above below behind beside besides
    between through during without within about against like than as per since until and or but
    nor""".split()
)


def is_word(token):
    return token[0].isalpha() or token[0] == CODE


def is_noun_like(token):
    """True if the token may be a noun, or an adjective before one."""
    return is_word(token) and token not in FUNCTION_WORDS


def is_riddle(token, before, after):
    if token == "one":
        # "one task", "one of the tasks", "one or two" and "one by one" are numbers.
        return before not in ("at", "by", "than") and after not in ("of", "or", "by") and (
            not is_noun_like(after) or after in VERBS)
    if token == "those":
        return not is_noun_like(after)
    return token in RIDDLES


def is_stand_in(token, before, after):
    if token in STAND_INS or is_riddle(token, before, after):
        return True
    if token == "this":
        looks_like_verb = after in VERBS or re.fullmatch(r"\w+[^siu\W]s", after)
        return not is_noun_like(after) or bool(looks_like_verb)
    if token == "these":
        return not is_noun_like(after)
    if token in ("its", "their"):
        return not is_noun_like(after)  # "its task" names the task
    if token == "that":
        if before in CLAUSE_BEGINS or after in CLAUSE_SUBJECTS:
            return False  # a conjunction: "says that the task"
        # "In that case" names the case. "A task that runs" counts: a chain of such clauses is hard
        # to read.
        return before not in PREPOSITIONS or not is_noun_like(after) or after in VERBS
    if token == "other":
        return before != "each" and not is_noun_like(after)
    if token == "same":
        return not is_noun_like(after)
    if token == "such":
        return after != "as"
    return False


@dataclasses.dataclass
class Count:
    words: int = 0
    stand_ins: int = 0
    riddles: int = 0

    def __iadd__(self, other):
        self.words += other.words
        self.stand_ins += other.stand_ins
        self.riddles += other.riddles
        return self

    @property
    def share(self):
        words = max(self.words, 1)
        return Share(100 * self.stand_ins / words, 100 * self.riddles / words)


def count(text):
    """The words of a text, and which of them are stand-ins and riddling."""
    tokens = ["."] + [token.lower() for token in TOKENS.findall(text)] + ["."]
    found = Count()
    for before, token, after in zip(tokens, tokens[1:], tokens[2:]):
        if is_word(token):
            found.words += 1
            found.stand_ins += is_stand_in(token, before, after)
            found.riddles += is_riddle(token, before, after)
    return found


def marked(text):
    """The text with its stand-ins in brackets."""
    tokens = list(TOKENS.finditer(text))
    words = ["."] + [token[0].lower() for token in tokens] + ["."]
    for i in range(len(tokens) - 1, -1, -1):
        if is_word(words[i + 1]) and is_stand_in(words[i + 1], words[i], words[i + 2]):
            text = text[: tokens[i].start()] + "[" + tokens[i][0] + "]" + text[tokens[i].end() :]
    return text


def text_of(lines):
    return re.sub(r"\s+", " ", " ".join(line.text for line in lines)).strip()


def count_file(path):
    found = Count()
    for lines in paragraphs(path.read_text()):
        found += count(text_of(lines))
    return found


def files_in(place):
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.suffix in (".cpp", ".hpp", ".h", ".cc"))


def sentences(lines):
    """Pairs of line number and sentence."""
    at = []  # the line number of each character
    text = ""
    for line in lines:
        part = re.sub(r"\s+", " ", line.text).strip() + " "
        text += part
        at += [line.number] * len(part)
    for sentence in re.finditer(r"\S.*?(?:[.!?]\)?(?=\s+[A-Z`(…])|\s*$)", text):
        yield at[sentence.start()], sentence[0].strip()


# --- reports -------------------------------------------------------------------------------------


def show(name, found, note=""):
    share = found.share
    print(f"{name:<34} {found.words:>6} {share.stand_ins:>8.1f} % {share.riddles:>8.1f} %{note}")


def is_above(share, limit):
    return share.stand_ins > limit.stand_ins or share.riddles > limit.riddles


def report(worst_files):
    """Prints the figures; returns the folders that are above their limits."""
    print(f"{'comments in':<34} {'words':>6} {'stand-ins':>10} {'riddling':>10}  at most (aim: "
          f"{AIM.stand_ins:g} and {AIM.riddles:g} %)")
    above = []
    for folder, limit in LIMITS.items():
        files = {path: count_file(path) for path in files_in(ROOT / folder)}
        total = Count()
        for found in files.values():
            total += found
        if is_above(total.share, limit):
            above.append(folder)
        show(folder, total, f"  {limit.stand_ins:g} and {limit.riddles:g} %")
        # The files to begin with: those that bring the most stand-ins beyond the aim.
        order = sorted(files, key=lambda path: files[path].words * AIM.stand_ins / 100 - files[path].stand_ins)
        for path in order[:worst_files]:
            if is_above(files[path].share, AIM):
                show(f"  {path.relative_to(ROOT)}", files[path])
    return above


def worst(places, most):
    """Prints the sentences with the most stand-ins, in the order of the files."""
    found = []
    for place in places:
        for path in files_in(place):
            for lines in paragraphs(path.read_text()):
                for number, sentence in sentences(lines):
                    counted = count(sentence)
                    if counted.stand_ins and is_above(counted.share, AIM):
                        found.append((counted.riddles + counted.stand_ins, path, number, sentence))
    found.sort(key=lambda entry: -entry[0])
    for _, path, number, sentence in sorted(found[:most], key=lambda entry: entry[1:3]):
        print(f"{path}:{number}: {marked(sentence)}")


def main():
    parser = argparse.ArgumentParser(description="Measures the English of the comments.")
    parser.add_argument("--check", action="store_true", help="fail if a folder is above its limit")
    parser.add_argument("--worst", nargs="*", metavar="PLACE", type=pathlib.Path,
                        help="show the worst sentences of folders or files")
    parser.add_argument("--most", type=int, default=60, help="how many sentences (60)")
    arguments = parser.parse_args()
    if arguments.worst is not None:
        worst(arguments.worst or [ROOT / folder for folder in LIMITS], arguments.most)
        return 0
    above = report(worst_files=3)
    for folder in above if arguments.check else []:
        print(f"{folder}: too many words stand for a noun that is somewhere else: name the noun. "
              f"`scripts/format --english {folder}` shows the sentences.", file=sys.stderr)
    return 1 if above and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
