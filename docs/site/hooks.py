"""What the site needs of MkDocs beyond its configuration: MkDocs calls the functions here."""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STOP_WORDS = r'"search\.config\.pipeline": ?"trimmer, stopWordFilter"'
# Pages that only links lead to: no menu has them, and the search does not find them.
UNLISTED = re.compile(r"source/|.*/index\.md$")


def version():
    text = (ROOT / "include/errgroup/version.hpp").read_text()
    numbers = [
        re.search(rf"#define ERRGROUP_VERSION_{part} (\d+)", text)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    suffix = re.search(r'#define ERRGROUP_VERSION_SUFFIX "(.*)"', text)[1]
    return ".".join(numbers) + suffix


def paths_of(entry):
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for part in entry.values():
            yield from paths_of(part)
    else:
        for part in entry:
            yield from paths_of(part)


def matched(pattern, pages, named, folder):
    """Entries for the pages that no other entry names, the list of a folder first."""
    found = [p for p in pages if pathlib.PurePath(p).match(pattern) and p not in named]
    for page in sorted(found, key=lambda page: (not page.endswith("/index.md"), page)):
        if page.endswith("/index.md"):
            yield page
        else:
            title = re.search(r"^# (.*)", (folder / page).read_text(encoding="utf-8"), re.M)
            yield {title[1].replace("`", ""): page}


def resolved(entry, pages, named, folder):
    """The entry, with the pages that its patterns match."""
    if isinstance(entry, list):
        parts = []
        for part in entry:
            if isinstance(part, str) and "*" in part:
                parts.extend(matched(part, pages, named, folder))
            else:
                parts.append(resolved(part, pages, named, folder))
        return parts
    if isinstance(entry, dict):
        (title, part), = entry.items()
        if isinstance(part, str) and "*" in part:
            part = [part]
        return {title: resolved(part, pages, named, folder)}
    if entry in pages:
        return entry
    sys.exit(f"docs/site/mkdocs.yml: there is no page {entry}, which an entry of `nav` names")


def on_config(config):
    folder = pathlib.Path(config["docs_dir"])
    pages = {page.relative_to(folder).as_posix() for page in folder.rglob("*.md")}
    named = set(paths_of(config["nav"]))
    config["nav"] = resolved(config["nav"], pages, named, folder)
    unnamed = {page for page in pages - set(paths_of(config["nav"])) if not UNLISTED.match(page)}
    if unnamed:
        sys.exit(
            "docs/site/mkdocs.yml: no entry of `nav` names these pages, so no menu leads to them: "
            + ", ".join(sorted(unnamed))
        )
    config["copyright"] = f"errgroup {version()}, Apache-2.0"
    return config


def on_post_page(output, page, config):
    # `any`, `all` and `take` are functions here, and no words to leave out of a search.
    output, count = re.subn(STOP_WORDS, '"search.config.pipeline": "trimmer"', output)
    if count != 1:
        sys.exit("docs/site/hooks.py: the theme names its search pipeline in another way than before")
    return output


def on_post_build(config):
    index = pathlib.Path(config["site_dir"]) / "search/search_index.json"
    content = json.loads(index.read_text(encoding="utf-8"))
    content["docs"] = [entry for entry in content["docs"] if not entry["location"].startswith("source/")]
    index.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
