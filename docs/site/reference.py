#!/usr/bin/env python3
"""Makes the pages of the reference: Markdown, a page for each public header, of doxygen's XML.

usage: reference.py XML PAGES    write PAGES/reference/*.md

Nothing is left out in silence. A public name without a comment is an error, and so is an XML
element that is not known here.
"""

import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES_OF_TREE = ("docs/", "examples/README.md", "perf/README.md", "CHANGELOG.md", "README.md")
OPERATORS = {
    "==": "equal",
    "=": "assign",
    "<<": "write",
    "->": "arrow",
    "*": "star",
    "()": "call",
    " bool": "bool",
}


# Names of the implementation in declarations, and the words for them. As in the C++ Standard, a name
# with a hyphen is there for exposition only.
EXPOSITION = {
    "begins_with_options": "true if the first argument is an `options`",
    "context_of_error": "a text, or a callable that makes one: see `error::with_context`",
    "counts": "an integer type that is not `bool`",
    "expected_like": "a type with `has_value()` and `error()`, such as `std::expected`",
    "failure": "`error`, `std::error_code`, an enum of error codes, `std::exception_ptr` or `std::unexpected`",
    "has_traits": "a type for which `result_traits` is specialised",
    "held_value": "`*r`, or `r.value()` if `r` has no `*`",
    "holds_value": "a type of `std::expected`'s shape with a value",
    "is_result": "true for a `result<T>`",
    "no_batch": "any type but `stage::batch_size`",
    "other_expected": "a type of `std::expected`'s shape that is neither the result nor its value",
    "takes_nothing": "a callable that is called without arguments",
    "takes_token": "a callable that is called with a `std::stop_token`",
    "task_call": "its `result` is what a call of the callable returns",
    "task_label": "`task_options`, or a type that converts to `std::string_view`: the name alone",
}
FOR_ERRGROUP = "For errgroup"  # begins the comment of a member that no program uses


class Problem(Exception):
    """What the XML has, and this program cannot turn into a page."""


def without_namespace(name):
    return re.sub(r"^errgroup::", "", tight(name))


def tight(code):
    """Code in the style of the sources: `T const& x`, `std::vector<T>`."""
    code = re.sub(r"\s+", " ", code).strip()
    code = re.sub(r"<\s+", "<", code)
    code = re.sub(r"(?<=\w)\s+(?=<(?![<=\s]))", "", code)
    code = re.sub(r"\s+>(?=[\s>,&*():]|$)", ">", code)
    code = re.sub(r"\s+(&&|&|\*)(?=[\s,)>]|$)", r"\1", code)
    code = re.sub(r"\s+(&&|&|\*)(?=[\w.])", r"\1 ", code)
    code = re.sub(r"(&&|&) ?\.\.\. ?", r"\1... ", code)
    code = re.sub(r"(&&|&)(noexcept|const)\b", r"\1 \2", code)
    return re.sub(r"\btemplate<", "template <", code)


def tight_condition(code):
    """The same for a condition: its && joins, and makes no reference."""
    parts = [tight(part) for part in re.split(r"\s*&&\s*", code)]
    return " && ".join(parts)


def text_of(element):
    return "".join(element.itertext()) if element is not None else ""


# --- the names ------------------------------------------------------------------------------------


class Entry:
    """A public name: a class, a member, a function, a macro …"""

    def __init__(self, element, kind, name, scope):
        place = element.find("location")
        self.element = element
        self.kind = kind
        self.name = name  # without the namespace errgroup
        self.scope = scope  # of the class or of the namespace below errgroup; may be empty
        self.header = pathlib.PurePath(place.get("file")).name
        self.line = int(place.get("line") or 0)

    @property
    def where(self):
        return f"{self.header}:{self.line}: {self.name}"

    @property
    def anchor(self):
        name = self.name
        name = re.sub(r"::~\w+$", "-destructor", name)
        name = name.replace("operator std::expected<void, E>", "operator-expected")
        name = name.replace("operator std::expected<T, E>", "operator-expected")
        found = re.search(r"\boperator(\W.*|\s\w+)$", name)
        if found:
            if found[1] not in OPERATORS:
                raise Problem(f"{self.where}: no anchor is known for this operator")
            name = name[: found.start(1)] + "-" + OPERATORS[found[1]]
        name = re.sub(r"<([\w:]+)>", r"-\1", name)
        anchor = re.sub(r"::", "-", name)
        if not re.fullmatch(r"[\w-]+", anchor):
            raise Problem(f"{self.where}: {anchor!r} is no anchor")
        return anchor


class Reference:
    def __init__(self, folder):
        self.folder = folder
        self.entries = []
        self.headers = {}  # name of a header: the comment of the file
        self.namespaces = {}  # name of a header: the comments of the namespaces
        index = ElementTree.parse(folder / "index.xml").getroot()
        for compound in index.findall("compound"):
            tree = ElementTree.parse(folder / f"{compound.get('refid')}.xml")
            self.add(tree.getroot().find("compounddef"))
        self.entries.sort(key=lambda entry: (entry.header, entry.line))
        self.symbols = {}  # name: the page and the anchor
        for entry in self.entries:
            place = (entry.header, entry.anchor)
            if self.symbols.setdefault(entry.name, place) != place:
                raise Problem(f"{entry.where}: two headers have this name")
            for value in entry.element.findall("enumvalue"):
                value = value.findtext("name")
                self.symbols[f"{entry.name}::{value}"] = (entry.header, f"{entry.anchor}-{value}")
        self.classes = {e.name for e in self.entries if e.kind in ("class", "struct")}
        anchors = collections.defaultdict(set)
        for entry in self.entries:
            anchors[entry.header, entry.anchor].add(entry.name)
        for names in anchors.values():
            if len(names) > 1:
                raise Problem(f"one anchor for several names: {names}")

    def add(self, compound):
        kind = compound.get("kind")
        name = tight(text_of(compound.find("compoundname")))
        if kind == "dir":
            return
        if kind == "file":
            self.headers[name] = compound
            for member in compound.iter("memberdef"):
                if member.get("kind") == "define":
                    self.entries.append(Entry(member, "define", member.findtext("name"), ""))
        elif kind == "namespace":
            if is_commented(compound):
                header = pathlib.PurePath(compound.find("location").get("file")).name
                self.namespaces.setdefault(header, []).append(compound)
            self.add_members(compound, "" if name == "errgroup" else without_namespace(name))
        elif kind in ("class", "struct"):
            if compound.get("prot") == "public" and not self.is_in_private(name):
                name = without_namespace(name)
                self.entries.append(Entry(compound, kind, name, name.rpartition("::")[0]))
                self.add_members(compound, name)
        elif kind == "concept":
            self.entries.append(Entry(compound, kind, without_namespace(name), ""))
        else:
            raise Problem(f"{name}: a compound of the kind {kind} is not known")

    def is_in_private(self, name):
        """Classes in the private part of a class have prot="public" where they are forward declared."""
        outer, _, last = name.rpartition("::")
        return any(
            inner.get("prot") != "public"
            for file in self.folder.glob("*.xml")
            if outer and file.name.startswith(("class", "struct"))
            for compound in ElementTree.parse(file).iter("compounddef")
            if text_of(compound.find("compoundname")) == outer
            for inner in compound.findall("innerclass")
            if inner.text == name
        )

    def add_members(self, compound, scope):
        for member in compound.iter("memberdef"):
            kind = member.get("kind")
            if member.get("prot") != "public":
                continue
            name = tight(member.findtext("name"))
            if name == "explicit":
                name = conditionally_explicit(member)[1].partition("(")[0]
            if kind == "friend":
                if member.findtext("type") in ("class", "struct"):
                    continue
                if not is_commented(member):
                    self.require_function(name, scope)
                    continue
            elif name.startswith("~") and not is_commented(member):
                continue  # the comment of the class tells what its end means
            elif kind not in ("function", "variable", "typedef", "enum"):
                raise Problem(f"{scope}::{name}: a member of the kind {kind} is not known")
            if comment_of(member).startswith(FOR_ERRGROUP):
                continue
            full = f"{scope}::{name}" if scope else name
            self.entries.append(Entry(member, kind, full, scope))

    def require_function(self, name, scope):
        """A friend without a comment is the declaration of a function that has one."""
        tree = ElementTree.parse(self.folder / "namespaceerrgroup.xml")
        for member in tree.iter("memberdef"):
            if member.findtext("name") == name and is_commented(member):
                return
        raise Problem(f"{scope}: the friend {name} has no comment")

    # --- pages ------------------------------------------------------------------------------------

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for header in self.headers:
            stem = pathlib.PurePath(header).stem
            (folder / f"{stem}.md").write_text(self.page(header))
        (folder / "index.md").write_text(self.index())

    def page(self, header):
        text = Text(self, header, "", ())
        out = [f"# {header}", ""]
        out += [f"```cpp\n#include <errgroup/{header}>\n```", ""]
        out += text.blocks(self.headers[header])
        for namespace in self.namespaces.get(header, []):
            out += text.blocks(namespace)
        groups = {}
        for entry in self.entries:
            if entry.header == header:
                groups.setdefault(entry.name, []).append(entry)
        classes = {name for name, group in groups.items() if group[0].kind in ("class", "struct")}
        order = [name for name, group in groups.items() if group[0].scope not in classes]
        for name in order:
            out += self.section(groups[name], 2)
            if name in classes:
                for member, group in groups.items():
                    if group[0].scope == name and member not in order:
                        out += self.section(group, 3)
        source = f"../source/include/errgroup/{header}.md"
        out += [f"[The text of this header]({source})", ""]
        return "\n".join(out)

    def section(self, group, level):
        first = group[0]
        out = [f"{'#' * level} {heading(first.name)} {{ #{first.anchor} }}", ""]
        for entry in group:
            if len(group) > 1 and entry is not first:
                out += ["", "---", ""]
            parameters = re.findall(r"(\w+)(?=[,)])", entry.element.findtext("argsstring") or "")
            parameters += [p.findtext("declname") or "" for p in entry.element.findall("param")]
            text = Text(self, entry.header, entry.name, parameters)
            out += [f"```cpp\n{exposed(declaration(entry), entry)}\n```", ""]
            blocks = text.blocks(entry.element)
            if not blocks:
                raise Problem(f"{entry.where}: has no comment")
            out += blocks
            if entry.kind == "enum":
                out += self.enumerators(entry, text)
        return out

    def enumerators(self, entry, text):
        out = []
        for value in entry.element.findall("enumvalue"):
            name = value.findtext("name")
            blocks = text.blocks(value)
            if not blocks:
                raise Problem(f"{entry.where}: {name} has no comment")
            first = f"- `{name}`{{ #{entry.anchor}-{name} }}: {blocks[0]}"
            out.append("\n".join([first, *("    " + line if line else "" for line in blocks[1:])]))
        return ["\n".join(out), ""]

    def index(self):
        out = ["# Reference", ""]
        out.append("All public names of errgroup, by header.")
        out += ["", "| header | names |", "|---|---|"]
        for header in sorted(self.headers):
            stem = pathlib.PurePath(header).stem
            names = {}
            for entry in self.entries:
                if entry.header == header and "::" not in entry.name.replace(f"{stem}::", ""):
                    if not entry.scope or entry.scope in ("stage", "extend", "testing"):
                        names[entry.name] = f"[`{entry.name}`]({stem}.md#{entry.anchor})"
            shown = ", ".join(names.values())
            if not names:
                shown = " ".join(Text(self, header, "", ()).blocks(self.headers[header])).strip()
            out.append(f"| [{header}]({stem}.md) | {shown} |")
        out += ["", "## Names for exposition only", ""]
        out.append("These names stand in declarations for something that no program can name.")
        out += ["", "| name | meaning |", "|---|---|"]
        for name, words in EXPOSITION.items():
            out.append(f"| `{name.replace('_', '-')}` | {words} |")
        return "\n".join([*out, ""])


def comment_of(element):
    parts = ("briefdescription", "detaileddescription")
    return "".join(text_of(element.find(part)) for part in parts).strip()


def is_commented(element):
    return bool(comment_of(element))


# --- declarations ---------------------------------------------------------------------------------


def parameter(param):
    kind = tight(text_of(param.find("type")))
    name = param.findtext("declname") or ""
    array = param.findtext("array") or ""
    default = param.find("defval")
    code = kind
    function = re.fullmatch(r"(.*\(\*)(\).*)", kind)
    if function and name:
        code = function[1] + name + function[2]
    elif name:
        code = f"{kind.rstrip()} {name}"
    code += array
    if default is not None:
        code += f" = {tight(text_of(default))}"
    return code


def conditionally_explicit(element):
    """The condition, and the declaration, of `explicit(condition) T(...)`.

    doxygen takes this for a function with the name explicit.
    """
    arguments = text_of(element.find("argsstring"))
    end = end_of_parentheses(arguments)
    return tight_condition(arguments[:end]), tight(arguments[end:])


def end_of_parentheses(code):
    """Where the parentheses end with which the code begins."""
    depth = 0
    for at, c in enumerate(code):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return at + 1
    raise Problem(f"{code}: there is a parenthesis without its counterpart")


def template_of(element):
    out = []
    parameters = element.find("templateparamlist")
    if parameters is not None:
        out.append(f"template <{', '.join(parameter(p) for p in parameters.findall('param'))}>")
    clause = element.find("requiresclause")
    if clause is not None:
        line = f"  requires {tight_condition(text_of(clause))}"
        out.append(line.replace(" && ", " &&\n    ") if len(line) > 88 else line)
    return out


def exposed(code, entry):
    """The code with public names in place of the implementation's."""

    def public(found):
        if found[1] == "place":
            return "std::source_location"
        if found[1] not in EXPOSITION:
            raise Problem(f"{entry.where}: there are no words for {found[0]}: see EXPOSITION")
        return found[1].replace("_", "-")

    return re.sub(r"\bdetail::(\w+)", public, code)


def declaration(entry):
    element = entry.element
    name = entry.name.rpartition("::")[2] if entry.kind != "concept" else entry.name
    if entry.name.endswith(">") and entry.kind in ("class", "struct"):
        name = entry.name
    if "operator" in entry.name:
        name = "operator" + entry.name.rpartition("operator")[2]
    if entry.kind == "define":
        return f"#define {name} {re.sub(' +', ' ', text_of(element.find('initializer'))).strip()}"
    if entry.kind == "concept":
        code = text_of(element.find("initializer")).strip()
        code = code.replace(f"concept errgroup::{name}", f"concept {name}")
        return re.sub(r" =\s+", " = ", re.sub(r"^template<", "template <", code), count=1) + ";"
    if entry.kind in ("class", "struct"):
        bases = [f"{b.get('prot')} {tight(b.text)}" for b in element.findall("basecompoundref")]
        head = f"{entry.kind} {name}" + (f" : {', '.join(bases)}" if bases else "")
        template = template_of(element)
        if not template and name.endswith(">"):
            template = ["template <>"]
        return "\n".join([*template, head + ";"])
    kind = tight(text_of(element.find("type")))
    if entry.kind == "enum":
        strong = "enum class" if element.get("strong") == "yes" else "enum"
        under = f" : {kind}" if kind else ""
        values = []
        for value in element.findall("enumvalue"):
            values.append(f"  {value.findtext('name')}{' ' if value.find('initializer') is not None else ''}"
                          f"{tight(text_of(value.find('initializer')))},")
        return "\n".join([f"{strong} {name}{under} {{", *values, "};"])
    if entry.kind == "typedef":
        kind = "/* unspecified */" if kind.startswith("detail::") else kind
        return "\n".join([*template_of(element), f"using {name} = {kind};"])
    if entry.kind == "variable":
        static = "static " if element.get("static") == "yes" and "static" not in kind else ""
        value = tight(text_of(element.find("initializer")))
        value = f" {value}" if value.startswith("=") else value
        return f"{static}{kind} {name}{value};"
    return function(entry, name, kind)


def function(entry, name, kind):
    element = entry.element
    if tight(element.findtext("name")) == "explicit":
        condition, rest = conditionally_explicit(element)
        return "\n".join([*template_of(element), f"explicit{condition}", f"{rest};"])
    arguments = text_of(element.find("argsstring"))
    tail = arguments[end_of_parentheses(arguments) :]
    tail = tight_condition(tail) if "noexcept(" in tail else tight(tail)
    tail = tail.replace("=delete", " = delete").replace("=default", " = default")
    tail = re.sub(r"\s+", " ", tail).strip()
    tail = re.sub(r"^(const)(&+)", r"\1\2", tail)
    before = ""
    if element.get("explicit") == "yes":
        before = "explicit "
    if element.get("static") == "yes":
        before += "static "
    if element.get("virt") == "virtual" and "virtual" not in kind:
        before += "virtual "
    if entry.kind == "friend":
        before += "friend "
    kind = re.sub(r"^(?:friend|virtual|inline|constexpr) ", "", kind)
    if element.get("constexpr") == "yes":
        before += "constexpr "
    head = before + (f"{kind} " if kind and not name.startswith("operator std") else "") + name
    parameters = [parameter(p) for p in element.findall("param")]
    tail = f" {tail}" if tail else ""
    line = f"{head}({', '.join(parameters)}){tail}"
    if len(line) > 88 and parameters:
        line = f"{head}(\n    " + ",\n    ".join(parameters) + f"){tail}"
    lines = [*template_of(element), line]
    if element.find("templateparamlist") is None:  # a condition stands behind it
        lines.reverse()
    return "\n".join(lines) + ";"


# --- comments -------------------------------------------------------------------------------------


def heading(name):
    return name.replace("<", "&lt;").replace(">", "&gt;")


def escaped(text):
    return re.sub(r"[\\`*_\[\]{}#|~<>&]", lambda found: f"&#{ord(found[0])};", text)


class Text:
    """Turns the comment of a name into Markdown."""

    def __init__(self, reference, header, name, parameters):
        self.reference = reference
        self.header = header
        self.name = name
        self.parameters = parameters

    def blocks(self, element):
        """Lines; a block is followed by an empty line."""
        out = []
        for part in element:
            if part.tag in ("briefdescription", "detaileddescription"):
                for child in part:
                    out += self.block(child)
        return out

    def block(self, element):
        if element.tag == "para":
            return self.paragraph(element)
        if element.tag == "itemizedlist":
            out = []
            for item in element:
                self.require(item, "listitem")
                lines = [line for child in item for line in self.block(child)]
                out.append("- " + lines[0])
                out += ["    " + line if line else "" for line in lines[1:]]
            return out
        raise self.unknown(element)

    def paragraph(self, element):
        out = []
        line = self.escaped(element.text or "")

        def finish():
            nonlocal line
            if line.strip():
                text = re.sub(r"\s+", " ", line).strip()
                # At the begin of a line these would be a list or a heading.
                text = re.sub(r"^([-+>#])", r"\\\1", re.sub(r"^(\d+)\.", r"\1\\.", text))
                out.extend([text, ""])
            line = ""

        for child in element:
            if child.tag == "verbatim":
                finish()
                code = child.text.rstrip()
                language = "cpp" if re.search(r"[;{}]", code) else "text"
                out.extend([f"```{language}", *code.split("\n"), "```", ""])
            elif child.tag == "itemizedlist":
                finish()
                out.extend(self.block(child))
            elif child.tag == "linebreak":
                finish()
            else:
                line += self.inline(child)
            line += self.escaped(child.tail or "")
        finish()
        return out

    def inline(self, element):
        if element.tag == "computeroutput":
            return self.code(text_of(element))
        if element.tag == "bold":
            return f"**{self.inner(element)}**"
        if element.tag == "emphasis":
            return f"*{self.inner(element)}*"
        if element.tag == "ulink":
            return f"[{self.inner(element)}]({element.get('url')})"
        if element.tag == "ref":
            return self.inner(element)
        raise self.unknown(element)

    def inner(self, element):
        out = self.escaped(element.text or "")
        for child in element:
            out += self.inline(child) + self.escaped(child.tail or "")
        return out

    def unknown(self, element):
        return Problem(f"{self.header}: {self.name}: the XML element <{element.tag}> is not known")

    def require(self, element, tag):
        if element.tag != tag:
            raise self.unknown(element)

    def code(self, code):
        fence = "`" * (max(map(len, re.findall("`+", code)), default=0) + 1)
        space = " " if code.startswith("`") or code.endswith("`") else ""
        quoted = f"{fence}{space}{code}{space}{fence}"
        place = self.place_of(code)
        return f"[{quoted}]({place})" if place else quoted

    def place_of(self, code):
        """The link to the public name that the code is, seen from here."""
        if code in self.parameters:
            return None
        name = code.removeprefix("errgroup::").removesuffix("()")
        scopes = self.name.split("::")
        if name == code and name in self.reference.classes:
            scopes = []  # the class, not the function of this name
        for length in range(len(scopes), -1, -1):
            full = "::".join([*scopes[:length], name])
            if full in self.reference.symbols:
                header, anchor = self.reference.symbols[full]
                if full == self.name:
                    return None
                page = "" if header == self.header else f"{pathlib.PurePath(header).stem}.md"
                return f"{page}#{anchor}"
        return None

    def escaped(self, text):
        """Text in which the documents and headers that it names are links."""
        out, at = "", 0
        pattern = r"\b(?:errgroup/)?(\w+\.hpp)\b|\b(?:docs/[\w/-]+|perf/README|README)\.md(?:#[\w-]+)?"
        for found in re.finditer(pattern, text):
            if found[1]:
                known = found[1] in self.reference.headers and found[1] != self.header
                target = f"{pathlib.PurePath(found[1]).stem}.md"
            else:
                known = (ROOT / found[0].partition("#")[0]).is_file()
                target = f"../{found[0]}"
            if known:
                out += escaped(text[at : found.start()]) + f"[{escaped(found[0])}]({target})"
                at = found.end()
        return out + escaped(text[at:])


def check_headers(headers):
    """doxygen's XML does not have what a using-declaration declares."""
    for header in headers:
        for number, line in enumerate(header.read_text(encoding="utf-8").split("\n"), 1):
            if re.match(r"using (?!namespace)[\w:]+::\w+;", line):
                raise Problem(f"{header.name}:{number}: write an alias: {line.strip()} has no entry")


def main(arguments):
    if len(arguments) != 2:
        sys.exit("usage: reference.py XML PAGES")
    folder, pages = map(pathlib.Path, arguments)
    try:
        check_headers(sorted((ROOT / "include/errgroup").glob("*.hpp")))
        Reference(folder).write(pages / "reference")
    except Problem as problem:
        sys.exit(f"docs/site/reference.py: {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
