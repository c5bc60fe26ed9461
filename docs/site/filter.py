#!/usr/bin/env python3
"""Prints a header as doxygen is to read it. Doxygen calls this with the path of the header.

Every line keeps its number. What changes:

- The inline namespace goes: the reference says errgroup::group, as programs do.
- Attributes, the export macro and the include guard go.
- A comment before the includes is the comment of the file.
- Specialisations of the standard library's templates go: doxygen does not place them.
- "Throws: ..." and the like begin a new paragraph (reference.py makes one of the line break).
- Members that are `= default` or `= delete`, and deduction guides, get a standard comment if they
  have none.
"""

import re
import sys

LABELS = "Throws|Threads|Ordering|Cost|Order"
COMMENT = re.compile(r"\s*///(?!<)")
SPECIAL = re.compile(r"\s+(?:explicit |virtual )?([~\w=]+(?: ?&? ?operator=)?)\((.*?)\).* = (default|delete);")
GUIDE = re.compile(r"\s*(\w+)\([^()]*\) -> \1<.*>;")
STD_SPECIALISATION = re.compile(r"^template <>\nstruct std::[^;]*?(?:\{\};|\{\n(?:.*\n)*?\};)", re.M)


def standard_comment(line):
    """A comment for a declaration that says all itself; empty for every other line."""
    if GUIDE.fullmatch(line):
        return "Deduces the template's arguments."
    found = SPECIAL.fullmatch(line)
    if not found:
        return ""
    name, argument, how = found.groups()
    if name.endswith("operator="):
        return "Assigns." if how == "default" else "Not assignable."
    if name.startswith("~"):
        return ""
    if not argument:
        return "Makes an object with its defaults."
    moves = "&&" in argument
    if how == "default":
        return "Moves." if moves else "Copies."
    return "Not movable." if moves else "Not copyable."


def filtered(text):
    text = re.sub(r"^(namespace errgroup)::inline v\d+", r"\1", text, flags=re.M)
    text = re.sub(r"\[\[[^\]]*\]\] ?", lambda found: "\n" * found[0].count("\n"), text)
    text = re.sub(r"\bERRGROUP_API ", "", text)
    text = re.sub(r"^#define ERRGROUP_\w+_HPP$", "", text, flags=re.M)
    text = re.sub(STD_SPECIALISATION, lambda found: "\n" * found[0].count("\n"), text)
    lines = text.split("\n")
    if "ERRGROUP_FWD_HPP" in text:  # every name is declared, and documented, in another header
        lines = [line if COMMENT.match(line) or line.startswith("#") else "" for line in lines]

    # doxygen documents the macros and functions of a file only if the file has a comment.
    first_include = next(n for n, line in enumerate(lines) if line.startswith(("#include", "#def")))
    comments = [n for n, line in enumerate(lines[:first_include]) if COMMENT.match(line)]
    if comments and lines[first_include - 1] == "":
        lines[comments[0] - 1] = "/// @file"
    else:
        lines[0] = "/** @file */"

    commented = False  # the line before is a comment
    for number, line in enumerate(lines):
        if COMMENT.match(line):
            lines[number] = re.sub(rf"(///\s+)((?:{LABELS}):)", r"\1<br/>**\2**", line)
            commented = True
            continue
        if not commented:
            if comment := standard_comment(line):
                lines[number] += f"  ///< {comment}"
        commented = False
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as header:
        sys.stdout.write(filtered(header.read()))
