#!/usr/bin/env python3
"""Copies the documents of the tree to where MkDocs reads its pages.

usage: pages.py PAGES

The folders are as in the tree, so a link from one document to another stays as it is. A link to
something else gets a page to lead to: a header has its page in the reference, a source file a page
with its text, a folder a list of its documents or of its files. Lists are indented by four columns,
as Python's Markdown wants them.
"""

import os
import pathlib
import posixpath
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ["*.md", "docs/**/*.md", "examples/README.md", "perf/README.md", "perf/results/*.md",
             "packaging/README.md"]
AS_THEY_ARE = (".svg", ".png", ".json", ".csv")
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".py": "python", ".cmake": "cmake", ".yml": "yaml"}
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\()([^()\s]+)(\))")
FENCE = re.compile(r"\s*(```+|~~~+)")
ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])( +)(?=\S)")


class Pages:
    def __init__(self, folder):
        self.folder = folder
        self.sources = set()  # files of the tree that get a page with their text
        self.problems = []

    def build(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        documents = sorted({file for pattern in DOCUMENTS for file in ROOT.glob(pattern)})
        for file in documents:
            self.write(file.relative_to(ROOT).as_posix(), self.converted(file))
        for header in sorted((ROOT / "include/errgroup").glob("*.hpp")):
            self.sources.add(header.relative_to(ROOT).as_posix())
        self.sources.add("LICENSE")
        for source in sorted(self.sources):
            self.write(f"source/{source}.md", self.source_page(source))
        for name in ("site.css", "site.js"):
            shutil.copy(ROOT / "docs/site" / name, self.folder)

    def write(self, path, text):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def source_page(self, source):
        text = (ROOT / source).read_text(encoding="utf-8")
        language = LANGUAGES.get(pathlib.PurePath(source).suffix, "text")
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        return f"# {source}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"

    # --- one document -----------------------------------------------------------------------------

    def converted(self, file):
        where = file.relative_to(ROOT).as_posix()
        out = []
        for code, lines in parts(file.read_text(encoding="utf-8")):
            text = "\n".join(lines)
            out.append(text if code else self.with_links(text, where))
        return lists("\n".join(out))

    def with_links(self, text, where):
        # Code between backticks may look like a link. A link whose text is code is one.
        spans = []

        def hide(found):
            spans.append(found[0])
            return f"\0{len(spans) - 1}\0"

        text = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", hide, text, flags=re.S)
        text = LINK.sub(lambda found: found[1] + self.target(found[2], where) + found[3], text)
        return re.sub(r"\0(\d+)\0", lambda found: spans[int(found[1])], text)

    def target(self, link, where):
        if re.match(r"[a-z]+:|#", link):
            return link
        path, mark, anchor = link.partition("#")
        here = posixpath.dirname(where)
        full = posixpath.normpath(posixpath.join(here, path))
        file = ROOT / full
        if full.startswith("..") or not file.exists():
            self.problems.append(f"{where}: the link {link} leads to no file of the tree")
            return link
        header = re.fullmatch(r"include/errgroup/(\w+)\.hpp", full)
        if header:
            page = f"reference/{header[1]}.md"
        elif full == "include/errgroup":
            page = "reference/index.md"
        elif file.is_dir():
            page = self.list_of(full)
        elif file.suffix == ".md":
            page = full
            if not any(file in ROOT.glob(pattern) for pattern in DOCUMENTS):
                self.problems.append(f"{where}: {full} is no page of the site: see docs/site/pages.py")
        elif file.suffix in AS_THEY_ARE:
            page = full
            (self.folder / full).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, self.folder / full)
        else:
            page = f"source/{full}.md"
            self.sources.add(full)
        return posixpath.relpath(page, here or ".") + (mark + anchor if page.endswith(".md") else "")

    def list_of(self, folder):
        """The page of a folder: its README, or a list of its documents or of its files."""
        for name in ("README.md", "index.md"):
            if (ROOT / folder / name).exists():
                return f"{folder}/{name}"
        documents = sorted((ROOT / folder).glob("*.md"))
        lines = [f"# {folder}", ""]
        if not documents:
            for file in sorted(f for f in (ROOT / folder).rglob("*") if f.is_file()):
                name = file.relative_to(ROOT / folder).as_posix()
                lines.append(f"- [{name}]({name}.md)")
                self.sources.add(f"{folder}/{name}")
            self.write(f"source/{folder}/index.md", "\n".join([*lines, ""]))
            return f"source/{folder}/index.md"
        for document in documents:
            title = re.search(r"^# (.*)", document.read_text(encoding="utf-8"), re.M)
            lines.append(f"- [{title[1] if title else document.name}]({document.name})")
        self.write(f"{folder}/index.md", "\n".join([*lines, ""]))
        return f"{folder}/index.md"


def parts(text):
    """Pairs: whether the lines are a block of code, and the lines."""
    code, lines, fence = False, [], ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if not code and found:
            yield False, lines
            code, lines, fence = True, [line], found[1]
        elif code and found and found[1].startswith(fence) and line.strip() == found[1]:
            yield True, [*lines, line]
            code, lines = False, []
        else:
            lines.append(line)
    yield code, lines


def lists(text):
    """The text with nested parts of lists indented by four columns, and an empty line before lists.

    GitHub takes what is indented as far as an item's text for a part of the item, and begins a list
    right below a paragraph. Python's Markdown does neither.
    """
    out = []
    items = []  # the columns at which the texts of the open items begin
    for code, lines in parts(text):
        inside = None
        for line in lines:
            if code:
                if inside is None:
                    indent = len(line) - len(line.lstrip())
                    while items and indent < items[-1]:
                        items.pop()
                    inside = (items[-1] if items else 0, 4 * len(items))
                cut, by = inside
                out.append(" " * by + (line[cut:] if line[:cut].isspace() or not cut else line))
                continue
            if not line.strip():
                out.append("")
                continue
            indent = len(line) - len(line.lstrip())
            found = ITEM.match(line)
            after_text = bool(out) and bool(out[-1].strip())
            if found and not (after_text and not items and found[2] not in "-*+" and found[2] != "1."):
                in_list = bool(items)
                while items and indent < items[-1]:
                    items.pop()
                if indent - (items[-1] if items else 0) >= 4:
                    out.append(" " * 4 * len(items) + line[items[-1] if items else 0 :])
                    continue  # indented code
                if after_text and not in_list:
                    out.append("")
                out.append(" " * 4 * len(items) + line.lstrip())
                items.append(found.end())
            elif items and indent >= items[-1]:
                out.append(" " * 4 * len(items) + line[items[-1] :])
            elif after_text:
                out.append(line)  # the paragraph goes on
            else:
                while items and indent < items[-1]:
                    items.pop()
                out.append(" " * 4 * len(items) + line[items[-1] if items else 0 :])
    return "\n".join(out)


def main(arguments):
    if len(arguments) != 1:
        sys.exit("usage: pages.py PAGES")
    pages = Pages(pathlib.Path(os.path.abspath(arguments[0])))
    pages.build()
    if pages.problems:
        sys.exit("\n".join(pages.problems))


if __name__ == "__main__":
    main(sys.argv[1:])
