"""What scripts/english.py promises. Run by ctest, or by hand: python3 test/english_test.py"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts/english.py"
sys.path.insert(0, str(SCRIPT.parent))
sys.dont_write_bytecode = True
import english  # noqa: E402

# Comments of errgroup as they were, and as they should be.
PAIRS = [
    (
        "The last one inside ends the bond to what the group was made in, if somebody wanted that on "
        "the way out. (Nobody waits for the others: they may be further down on the same stack.)",
        "The last visitor destroys the context if a waiter asked for that. No thread waits for the "
        "remaining visitors: their frames may lie below its own on the same stack.",
    ),
    (
        "Not inside the group: a task that it took on there might wait, as well it may, for the very "
        "task that this call is in, and that could not go on below it.",
        "From inside the group it runs no tasks: one of them might wait for the calling task, which "
        "cannot continue underneath it.",
    ),
    (
        "Not before that: who cancels what the group was made in finds it there, and comes in.",
        "Remove the token from the list first: a canceller of the parent finds the group through it.",
    ),
    (
        "There are tasks to which nobody may come: those who wait for a time or a single task, and "
        "leave the work to others, are to take part.",
        "No worker may answer this request. Threads in `wait_until` or `help_until`, which normally "
        "leave tasks to workers, must now run them.",
    ),
    (
        "For a heap, whose top is what is less than nothing else.",
        "`std::push_heap` keeps the greatest on top, so 'less' means 'due later'.",
    ),
    (
        "What is counted was handed over before it was counted: a wait that begins after that covers "
        "it.",
        "A task is counted after it was submitted, so a wait that starts after reading the count "
        "includes it.",
    ),
    (
        "Either this sees the one who waits, or that one sees that it is ready.",
        "seq_cst: either this load sees the waiter's increment, or the waiter's load sees `ready_`.",
    ),
    (
        "Of the end of what was spawned, which oneTBB does not tell, it knows up to 0.25 ms late.",
        "It may notice the end of spawned tasks up to 0.25 ms late: oneTBB offers no notification, so "
        "they are polled.",
    ),
]


def share_of(texts):
    total = english.Count()
    for text in texts:
        total += english.count(text)
    return total.share


class EnglishTest(unittest.TestCase):
    def counted(self, text):
        found = english.count(text)
        return found.words, found.stand_ins, found.riddles

    def prose(self, source):
        return [english.text_of(lines) for lines in english.paragraphs(source)]

    def test_tells_riddles_from_plain_sentences(self):
        before = share_of(pair[0] for pair in PAIRS)
        after = share_of(pair[1] for pair in PAIRS)
        self.assertGreater(before.stand_ins, 2 * english.AIM.stand_ins)
        self.assertGreater(before.riddles, 5 * english.AIM.riddles)
        self.assertLess(after.stand_ins, english.AIM.stand_ins)
        self.assertLess(after.riddles, english.AIM.riddles)

    def test_each_riddle_is_above_the_aim(self):
        for before, _ in PAIRS:
            self.assertTrue(english.is_above(share_of([before]), english.AIM), before)

    def test_a_word_before_its_noun_stands_for_nothing(self):
        for text in (
            "One or two tasks.",
            "One task of this group runs at the same time as the other tasks.",
            "The call fails in that case.",
            "The call says that the group has failed, so that these tasks end.",
            "Tasks such as these readers wait for each other, one by one, and take one of the slots.",
            "The group and its tasks.",
        ):
            self.assertEqual(self.counted(text)[1:], (0, 0), english.marked(text))

    def test_a_word_without_a_noun_stands_for_it(self):
        for text, stand_ins, riddles in (
            ("After that, the group ends.", 1, 0),
            ("This is the same.", 2, 0),
            ("The first one ends the others.", 2, 2),
            ("Whoever waits takes those that are left.", 3, 2),
            ("A task that runs keeps it.", 2, 0),
        ):
            self.assertEqual(self.counted(text)[1:], (stand_ins, riddles), english.marked(text))

    def test_reads_comments_and_nothing_else(self):
        source = '''// SPDX-License-Identifier: Apache-2.0
#include <vector>  // it, those, one
/// First line
/// of two.
///
///     it.is(code);
///     those.are(too);
///
/// Throws: nothing, but
///     it is indented.
int f(int /*unused*/);  // behind code
/* A block
 * of two lines. */
char const* s = "// it is a string";
char const* t = R"(// and it, too)";
int i = 1'000'000;  // numbers
char c = '"';  // a quote
}  // namespace those
'''
        self.assertEqual(
            self.prose(source),
            [
                "First line of two.",
                "Throws: nothing, but it is indented.",
                "behind code",
                "A block of two lines.",
                "numbers",
                "a quote",
            ],
        )

    def test_code_in_backquotes_is_one_word(self):
        self.assertEqual(self.counted("`it.those(what)` runs."), (2, 0, 0))

    def test_shows_the_sentence_with_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "riddle.cpp"
            file.write_text("\n// Fine words. Whoever waits for it\n// is told.\nint i;\n")
            shown = subprocess.run(
                [sys.executable, SCRIPT, "--worst", file], check=True, capture_output=True, text=True
            ).stdout
        self.assertEqual(shown, f"{file}:2: [Whoever] waits for [it] is told.\n")

    def test_the_tree_is_within_its_limits(self):
        checked = subprocess.run(
            [sys.executable, SCRIPT, "--check"], capture_output=True, text=True
        )
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    unittest.main()
