"""What makes the pages of the site: docs/site. Run by scripts/test docs, or by hand:

    python3 test/reference_test.py
"""

import pathlib
import re
import shutil
import sys
import tempfile
import unittest
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs/site"))
sys.dont_write_bytecode = True
import filter as header_filter  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402

MEMBER = """
<memberdef kind="{kind}" prot="public" virt="non-virtual">
  {more}<type>{type}</type><name>{name}</name><argsstring>{arguments}</argsstring>
  <detaileddescription>{comment}</detaileddescription>
  <location file="errgroup/x.hpp" line="3"/>
</memberdef>"""


def member(kind="function", type="int", name="f", arguments="()", comment="<para>Text.</para>", more=""):
    fields = {"kind": kind, "type": type, "name": name, "arguments": arguments, "comment": comment}
    return MEMBER.format(**fields, more=more)


def made(*members, pages_folder):
    """The page of a header x.hpp with these members of the namespace errgroup."""
    with tempfile.TemporaryDirectory() as name:
        xml = pathlib.Path(name)
        compounds = {
            "file": '<compounddef kind="file"><compoundname>x.hpp</compoundname>'
            "<detaileddescription/></compounddef>",
            "namespaceerrgroup": '<compounddef kind="namespace"><compoundname>errgroup</compoundname>'
            f"<sectiondef>{''.join(members)}</sectiondef></compounddef>",
        }
        for stem, compound in compounds.items():
            (xml / f"{stem}.xml").write_text(f"<doxygen>{compound}</doxygen>")
        refs = "".join(f'<compound refid="{stem}"/>' for stem in compounds)
        (xml / "index.xml").write_text(f"<doxygenindex>{refs}</doxygenindex>")
        reference.Reference(xml).write(pathlib.Path(pages_folder))
    return (pathlib.Path(pages_folder) / "x.md").read_text()


class ReferenceTest(unittest.TestCase):
    def page(self, *members):
        with tempfile.TemporaryDirectory() as folder:
            return made(*members, pages_folder=folder)

    def comment(self, xml):
        text = self.page(member(comment=xml))
        return re.search(r"int f\(\);\n```\n\n(.*)\n\[The text", text, re.S)[1].strip()

    def refuses(self, words, *members):
        with self.assertRaisesRegex(reference.Problem, words):
            self.page(*members)

    def test_a_name_has_a_heading_an_anchor_a_declaration_and_its_comment(self):
        text = self.page(member())
        self.assertIn("## f { #f }\n\n```cpp\nint f();\n```\n\nText.\n", text)

    def test_a_name_without_a_comment_is_refused(self):
        self.refuses("x.hpp:3: f: has no comment", member(comment=""))

    def test_an_unknown_element_is_refused(self):
        self.refuses("<table> is not known", member(comment="<para><table/></para>"))
        self.refuses("<sect1> is not known", member(comment="<sect1/>"))

    def test_an_unknown_kind_of_member_is_refused(self):
        self.refuses("kind signal is not known", member(kind="signal"))

    def test_an_operator_without_an_anchor_is_refused(self):
        self.refuses("no anchor is known", member(name="operator%="))

    def test_a_name_of_detail_is_shown_as_words_or_refused(self):
        self.assertIn("int f(task-label x);", self.page(member(more=argument("detail::task_label"))))
        self.refuses("no words for detail::secret", member(more=argument("detail::secret")))

    def test_a_member_for_errgroup_has_no_entry(self):
        text = self.page(member(name="g", comment="<para>For errgroup.</para>"), member())
        self.assertNotIn("g", re.findall(r"^## (\w+)", text, re.M))

    def test_code_in_a_comment_is_a_block(self):
        text = self.comment("<para>Like this: <verbatim>f();\n  g();</verbatim> and on.</para>")
        self.assertEqual(text, "Like this:\n\n```cpp\nf();\n  g();\n```\n\nand on.")

    def test_characters_of_markdown_are_shown(self):
        self.assertEqual(self.comment("<para>a_b *c* &lt;d&gt;</para>").count("&#"), 5)
        self.assertEqual(self.comment("<para>1. one</para>"), r"1\. one")

    def test_a_name_in_a_comment_is_a_link_to_its_entry(self):
        two = member(name="g", comment="<para>See <computeroutput>f</computeroutput>.</para>")
        self.assertIn("See [`f`](#f).", self.page(member(), two))
        own = member(comment="<para>See <computeroutput>f</computeroutput>.</para>")
        self.assertIn("See `f`.", self.page(own))

    def test_a_using_declaration_in_a_header_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            header = pathlib.Path(folder) / "x.hpp"
            header.write_text("\nusing detail::secret;\n")
            with self.assertRaisesRegex(reference.Problem, "x.hpp:2: write an alias"):
                reference.check_headers([header])

    def test_types_look_as_in_the_sources(self):
        for doxygens, ours in {
            "T const  &": "T const&",
            "std::vector< std::pair< int, T >> &&": "std::vector<std::pair<int, T>>&&",
            "void(*)(void *, U &&)": "void(*)(void*, U&&)",
        }.items():
            self.assertEqual(reference.tight(doxygens), ours)


def argument(type):
    return f"<param><type>{type}</type><declname>x</declname></param>"


HEADER = """// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_X_HPP
#define ERRGROUP_X_HPP

#include <x>

namespace errgroup::inline v1 {

/// Throws: nothing.
class ERRGROUP_API x {
  x() = default;
  x(x const&) = delete;
  /// Said here.
  x& operator=(x const&) = delete;
  [[ERRGROUP_NODISCARD_ANSWER]] int f();
};
template <class T>
x(int) -> x<int>;

}  // namespace errgroup::inline v1
"""


class FilterTest(unittest.TestCase):
    def test_what_doxygen_reads(self):
        lines = header_filter.filtered(HEADER).split("\n")
        self.assertEqual(len(lines), len(HEADER.split("\n")))
        for number, line in {
            0: "/** @file */",
            2: "",
            6: "namespace errgroup {",
            8: "/// <br/>**Throws:** nothing.",
            9: "class x {",
            11: "  x(x const&) = delete;  ///< Not copyable.",
            13: "  x& operator=(x const&) = delete;",
            14: "  int f();",
            17: "x(int) -> x<int>;  ///< Deduces the template's arguments.",
        }.items():
            self.assertEqual(lines[number], line)


class PagesTest(unittest.TestCase):
    def test_nested_lists_are_indented_by_four_columns(self):
        self.assertEqual(
            pages.lists("- a\n  - b\n    c\n\n  d\n- e\n"), "- a\n    - b\n        c\n\n    d\n- e\n"
        )
        self.assertEqual(pages.lists("1. a\n\n   ```\n   x\n   ```\n"), "1. a\n\n    ```\n    x\n    ```\n")

    def test_a_list_below_a_paragraph_begins_a_list(self):
        self.assertEqual(pages.lists("a\n- b\n- c"), "a\n\n- b\n- c")
        self.assertEqual(pages.lists("in\n2020. And so on"), "in\n2020. And so on")

    def test_code_stays_as_it_is(self):
        code = "```cpp\n- a\n  - b\n[x](y)\n```"
        self.assertEqual(pages.lists(code), code)

    def links(self, text, where="docs/x.md"):
        made = pages.Pages(pathlib.Path(tempfile.mkdtemp(prefix="errgroup-site-")))
        self.addCleanup(shutil.rmtree, made.folder)
        return made.with_links(text, where), made.problems

    def test_links_lead_to_pages(self):
        for link, page in {
            "errors.md#x": "errors.md#x",
            "../include/errgroup/group.hpp": "../reference/group.md",
            "../examples/readme.cpp": "../source/examples/readme.cpp.md",
            "decisions": "decisions/index.md",
            "../examples/treesum": "../source/examples/treesum/index.md",
            "https://example.org/a": "https://example.org/a",
        }.items():
            self.assertEqual(self.links(f"[a]({link})"), (f"[a]({page})", []))

    def test_code_is_no_link(self):
        self.assertEqual(self.links("`[a](b)`"), ("`[a](b)`", []))

    def test_a_link_to_nothing_is_refused(self):
        self.assertEqual(
            self.links("[a](nowhere.md)")[1], ["docs/x.md: the link nowhere.md leads to no file of the tree"]
        )


if __name__ == "__main__":
    unittest.main()
