"""What the site that scripts/docs builds promises: its links, its search, its looks in a browser.

    scripts/docs && /usr/bin/python3 test/site_test.py
    python3 test/site_test.py --external    only lists the links to other sites, which no test follows

The system's Python has Debian's Selenium. The browser is Chromium without a window. The site is in
build/site, or in the folder that ERRGROUP_SITE names.
"""

import collections
import functools
import html.parser
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
SITE = pathlib.Path(os.environ.get("ERRGROUP_SITE", ROOT / "build/site")).resolve()
PATIENCE = 60  # seconds until a test gives up on the browser
WIDTHS = (400, 1400)

# The elements that make the page wider than the window: not those in a box that scrolls.
TOO_WIDE = """
const wide = [];
for (const e of document.querySelectorAll('body *')) {
  if (e.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) continue;
  let box = e.parentElement;
  while (box && getComputedStyle(box).overflowX === 'visible') box = box.parentElement;
  if (!box || box === document.body || box === document.documentElement)
    wide.push(e.tagName + ' ' + e.textContent.trim().slice(0, 60));
}
return wide.slice(0, 3);
"""


# A box that is still moving to its place is no box that is too wide.
NO_MOTION = """
const style = document.createElement('style');
style.textContent = '* { transition: none !important; animation: none !important; }';
document.head.append(style);
"""


class Page(html.parser.HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, file):
        super().__init__()
        self.anchors = set()
        self.links = []
        self.used = []  # files that the page needs: styles, scripts, images
        self.text = ""  # the text of the document, without code
        self.inside = collections.Counter()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_data(self, data):
        if self.inside["article"] and not any(self.inside[t] for t in ("code", "pre", "script")):
            self.text += data

    def handle_endtag(self, tag):
        self.inside[tag] -= 1

    def handle_starttag(self, tag, attributes):
        self.inside[tag] += 1
        attributes = dict(attributes)
        for name in ("id", "name") if tag == "a" else ("id",):
            if attributes.get(name):
                self.anchors.add(attributes[name])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag in ("link", "script", "img") and (attributes.get("href") or attributes.get("src")):
            self.used.append(attributes.get("href") or attributes.get("src"))


@functools.cache
def pages():
    """The pages by their addresses: the path of the folder with an index.html, or of the file."""
    found = {}
    for file in sorted(SITE.rglob("*.html")):
        address = "/" + file.relative_to(SITE).as_posix()
        found[address.removesuffix("index.html")] = Page(file)
    return found


def is_external(link):
    return bool(urllib.parse.urlsplit(link).scheme or urllib.parse.urlsplit(link).netloc)


def resolved(address, link):
    """The address and the anchor to which a link on a page leads."""
    link = urllib.parse.urlsplit(urllib.parse.urljoin(address, link))
    return urllib.parse.unquote(link.path), urllib.parse.unquote(link.fragment)


class Links(unittest.TestCase):
    def test_there_is_a_site(self):
        self.assertIn("/", pages(), f"{SITE} has no site: run scripts/docs")
        self.assertIn("/reference/group/", pages())

    def test_every_link_leads_to_a_page_and_an_anchor(self):
        broken = []
        for address, page in pages().items():
            for link in page.links:
                if is_external(link):
                    continue
                path, anchor = resolved(address, link)
                if path in pages():
                    if anchor and anchor not in pages()[path].anchors:
                        broken.append(f"{address}: {link}: the page has no such anchor")
                elif not (SITE / path.lstrip("/")).is_file():
                    broken.append(f"{address}: {link}: there is no such page")
        self.assertEqual(broken, [])

    def test_every_style_script_and_image_is_part_of_the_site(self):
        missing = []
        for address, page in pages().items():
            for link in page.used:
                path = resolved(address, link)[0].lstrip("/")
                if is_external(link):
                    missing.append(f"{address}: {link} is on another site")
                elif path and not (SITE / path).exists():
                    missing.append(f"{address}: {link}")
        self.assertEqual(missing, [])

    def test_links_lead_from_the_first_page_to_every_page(self):
        reached, ahead = {"/"}, ["/"]
        while ahead:
            address = ahead.pop()
            for link in pages()[address].links:
                path = resolved(address, link)[0]
                if not is_external(link) and path in pages() and path not in reached:
                    reached.add(path)
                    ahead.append(path)
        self.assertEqual(sorted(set(pages()) - reached - {"/404.html"}), [])


class Markdown(unittest.TestCase):
    def test_no_mark_is_left_in_the_text(self):
        marks = re.compile(r"`|\]\(|&#\d|\*\*\w|^\s*[-*+] \w|^\s*\|.*\|", re.M)
        left = []
        for address, page in pages().items():
            if address != "/404.html":
                self.assertTrue(page.text, address)
            for line in page.text.split("\n"):
                if marks.search(line):
                    left.append(f"{address}: {line}")
        self.assertEqual(left, [])


class SearchIndex(unittest.TestCase):
    """The search index has the reference and the documents, and no source files."""

    def test_has_documents_and_reference(self):
        index = json.loads((SITE / "search/search_index.json").read_text(encoding="utf-8"))
        locations = {entry["location"] for entry in index["docs"]}
        self.assertIn("reference/group/#group-try_run", locations)
        self.assertIn("reference/error/#errc", locations)
        self.assertIn("docs/errors/", locations)
        self.assertEqual([place for place in locations if place.startswith("source/")], [])


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class InTheBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from selenium import webdriver  # Debian's package: see scripts/setup
        from selenium.webdriver.chrome.service import Service

        handler = functools.partial(QuietHandler, directory=str(SITE))
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        cls.origin = f"http://127.0.0.1:{cls.server.server_port}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)

        profile = tempfile.mkdtemp(prefix="errgroup-site-")
        cls.addClassCleanup(shutil.rmtree, profile, ignore_errors=True)
        options = webdriver.ChromeOptions()
        for flag in """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
                --disable-background-networking --disable-component-update --disable-sync
                --disable-dev-shm-usage --disable-crash-reporter""".split():
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={profile}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        driver = shutil.which("chromedriver")
        if driver is None:
            raise AssertionError("there is no chromedriver: run scripts/setup")
        cls.browser = webdriver.Chrome(service=Service(driver), options=options)
        cls.addClassCleanup(cls.browser.quit)
        cls.browser.set_page_load_timeout(PATIENCE)
        cls.requests = collections.Counter()

    def tearDown(self):
        self.count_requests()
        away = [u for u in self.requests if re.match("(http|ws)", u) and not u.startswith(self.origin)]
        self.assertEqual(away, [], "requests that leave this machine")

    @classmethod
    def count_requests(cls):
        for entry in cls.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                cls.requests[message["params"]["request"]["url"]] += 1

    def open(self, address, width=WIDTHS[-1]):
        self.set_width(width)
        self.browser.get(self.origin + address)

    def set_width(self, width, height=900):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def script(self, text):
        return self.browser.execute_script(text)

    def until(self, condition, words):
        """Waits until the condition is true, and returns its value."""
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.browser, PATIENCE, poll_frequency=0.05)
        return wait.until(lambda _: condition(), f"after {PATIENCE} s: {words}")

    def element(self, selector):
        return self.browser.find_element("css selector", selector)

    # --- every page -------------------------------------------------------------------------------

    def test_no_page_is_wider_than_the_window_and_all_code_can_be_copied(self):
        problems = []
        # Each page makes its index of the search, which takes most of the time of loading it.
        self.browser.execute_cdp_cmd("Network.enable", {})
        self.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/search_index.json"]})
        self.addCleanup(self.browser.execute_cdp_cmd, "Network.setBlockedURLs", {"urls": []})
        for address in pages():
            self.open(address, WIDTHS[0])
            self.script(NO_MOTION)
            for width in WIDTHS:
                self.set_width(width)
                page, window = self.script(
                    "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
                )
                self.assertLessEqual(window, width)
                if page > window:
                    wide = self.script(TOO_WIDE)
                    problems.append(f"{address}: {page} wide in a window of {window}: {wide}")
            # A block of code gets its button when it comes into view.
            self.set_width(WIDTHS[-1], self.script("return document.documentElement.scrollHeight"))
            blocks = "document.querySelectorAll('pre > code').length"
            buttons = "document.querySelectorAll('pre > button.md-clipboard').length"
            self.until(
                lambda: self.script(f"return {blocks} === {buttons}"),
                f"{address}: there are blocks of code without a button to copy them",
            )
            self.count_requests()
        self.assertEqual(problems, [])
        # tearDown looks at the requests of every page. They are all there:
        self.assertGreaterEqual(set(self.requests), {self.origin + address for address in pages()})

    # --- the search -------------------------------------------------------------------------------

    def found(self, text):
        """The addresses that a search for the text finds, the best first."""
        self.open("/")
        box = self.element("input.md-search__input")
        box.click()
        box.send_keys(text)
        links = "document.querySelectorAll('.md-search-result__list a.md-search-result__link')"
        script = f"return [...{links}].map(a => a.href)"
        hrefs = self.until(lambda: self.script(script), f"the search for {text} finds nothing")
        # A result's address tells the browser which words to mark.
        addresses = [urllib.parse.urlsplit(href) for href in hrefs]
        return [a.path + ("#" + a.fragment if a.fragment else "") for a in addresses]

    def test_a_search_for_a_function_finds_its_entry_in_the_reference(self):
        self.assertIn("/reference/group/#group-try_run", self.found("try_run")[:5])

    def test_a_search_for_a_word_finds_documents_and_reference(self):
        found = self.found("deadline")
        self.assertIn("/reference/group/#group-deadline", found)
        self.assertTrue(any(address.startswith("/docs/") for address in found), found)

    def test_a_search_finds_functions_whose_names_are_common_words(self):
        self.assertIn("/reference/any/#any", self.found("any")[:5])

    def test_a_search_takes_names_as_they_stand_in_code(self):
        for text, address in {
            "group::run": "/reference/group/#group-run",
            "errgroup::for_each(": "/reference/for_each/#for_each",
            "result<void>": "/reference/result/#result-void",
        }.items():
            self.assertIn(address, self.found(text)[:5])

    def test_a_result_of_a_search_leads_to_its_entry(self):
        self.found("try_run")
        link = self.element(".md-search-result__link[href*='#group-try_run']")
        self.until(link.is_displayed, "the result is not shown")
        link.click()
        self.until(
            lambda: self.script("return location.pathname + location.hash")
            == "/reference/group/#group-try_run",
            "the result does not lead to its entry",
        )
        heading = self.until(lambda: self.element("#group-try_run"), "the entry is not there")
        self.assertIn("group::try_run", heading.text)

    # --- buttons ----------------------------------------------------------------------------------

    def test_the_button_of_a_block_of_code_copies_it(self):
        self.browser.execute_cdp_cmd(
            "Browser.grantPermissions",
            {"origin": self.origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
        )
        self.open("/reference/group/")
        self.until(lambda: self.script("return !!document.querySelector('button.md-clipboard')"), "")
        self.element("button.md-clipboard").click()
        copied = self.until(
            lambda: self.browser.execute_async_script(
                "const done = arguments[0]; navigator.clipboard.readText().then(done, () => done(''))"
            ),
            "nothing was copied",
        )
        self.assertEqual(copied.strip(), "#include <errgroup/group.hpp>")

    def colours(self):
        return self.script(
            "return [document.body.getAttribute('data-md-color-scheme'),"
            " getComputedStyle(document.body).backgroundColor]"
        )

    def test_the_colours_can_be_switched_and_stay_switched(self):
        self.open("/")
        before = self.colours()
        self.toggle_colours(before)
        after = self.colours()
        self.assertEqual({before[0], after[0]}, {"default", "slate"})
        self.assertNotEqual(before[1], after[1])
        self.open("/reference/group/")
        self.assertEqual(self.colours(), after)
        self.toggle_colours(after)
        self.assertEqual(self.colours(), before)

    def toggle_colours(self, before):
        shown = "form[data-md-component=palette] label:not([hidden])"
        self.until(lambda: self.script(f'return !!document.querySelector("{shown}")'), "no button")
        self.element(shown).click()
        self.until(lambda: self.colours()[0] != before[0], "the button does not switch the colours")


if __name__ == "__main__":
    if sys.argv[1:] == ["--external"]:
        external = {link for page in pages().values() for link in page.links if is_external(link)}
        print("\n".join(sorted(external)))
    else:
        # A test that is stopped from outside takes its browser with it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        unittest.main()
