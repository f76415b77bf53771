"""Compares `extract_number` with the independent reading of its rules on random and mutated texts; run as a script.

The type checks of the test-suite would make 20,000 texts slow, so that this runs in a process without them. Prints how
often each rule was met; ends with the first text on which the two readings differ.
"""

import json
import random
import sys
from fractions import Fraction

import numeric_oracle

from interp_xfer.tasks.scoring.numeric import NUMERIC_RULES, extract_number

NUMBERS = (
    *("18", "20", "7", "1,000", "3.5", "0.5", "1/2", "$18", "$1,000", "10%", "2^3", "5 million", "-7", "1,2", "17.6"),
    *("12 + 6", "20 - 2", "3 * 6", "5-10"),
)
MARKS = ("The answer is", "Answer:", "The final answer is:", "#### ", "#### The final answer is: ")
JOINTS = (
    *("=", "or", "and", ",", "but", "not", "which rounds to", "or about", "because", "since", "so", "(not 20)"),
    *("(9 * 2 = 18)", "that is,", "rather than"),
)
WORDS = ("eggs", "dollars", "she makes", "in", "per", "for", "a total of", "about", "exactly", "Step 1:", "1.", "2)")
STOPS = (".", "?", ";", "\n", "!")
BOXES = (r"\boxed{18}", r"\boxed{20}", r"\boxed{1, 2}", r"\boxed{x = 7}")
KINDS = (NUMBERS, NUMBERS, MARKS, JOINTS, JOINTS, WORDS, STOPS, BOXES)
FORMS = (
    ("The answer is", NUMBERS, JOINTS, NUMBERS, STOPS, WORDS, NUMBERS),
    ("#### ", NUMBERS, JOINTS, NUMBERS, "\n", WORDS, NUMBERS),
    ("#### The final answer is: ", NUMBERS, WORDS, NUMBERS, "\n", NUMBERS),
    (NUMBERS, STOPS, BOXES, JOINTS, BOXES, WORDS),
    ("#### 1. Find", NUMBERS, "\n", "#### 2) Add", NUMBERS, JOINTS, NUMBERS),
)


def written(rng: random.Random) -> str:
    """A text in one of the usual forms, or of any pieces, with some of them changed, lost or doubled."""
    if rng.random() < 0.5:
        form = rng.choice(FORMS)
        pieces = [each if isinstance(each, str) else rng.choice(each) for each in form]
    else:
        pieces = [rng.choice(rng.choice(KINDS)) for _ in range(rng.randint(1, 8))]
    for _ in range(rng.randint(0, 2)):
        at = rng.randrange(len(pieces))
        pieces[at : at + 1] = rng.choice(([], [pieces[at]] * 2, [rng.choice(rng.choice(KINDS))]))
        pieces = pieces or [rng.choice(NUMBERS)]
    text = ""
    for piece in pieces:
        glued = not text or text.endswith("\n") or piece == "\n" or (piece in ".?;!," and rng.random() < 0.7)
        text += piece if glued else f" {piece}"
    return text


def main() -> None:
    """Reads the number of texts from the command line."""
    rng = random.Random(0)
    met = dict.fromkeys((*NUMERIC_RULES, "none"), 0)
    for _ in range(int(sys.argv[1])):
        text = written(rng)
        found = extract_number(text)
        value = None if found.answer is None else Fraction(found.answer)
        if (value, found.rule) != (expected := numeric_oracle.read(text)):
            sys.exit(f"{text!r}: read {value} by {found.rule}, the rules say {expected}")
        met[found.rule or "none"] += 1
    sys.stdout.write(json.dumps(met))


if __name__ == "__main__":
    main()
