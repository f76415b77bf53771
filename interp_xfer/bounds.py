"""Upper bounds of settings, for the command line and for studies: what no run could finish is refused before it starts.

They lie far above every data set and model there is; who meets one made a slip of the keyboard.
"""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from interp_xfer.words import why_no_text

MAX_PROBLEMS = 1_000_000
"""Problems, pairs or texts of one stage."""
MAX_SEED = 2**32 - 1
"""What numpy and scikit-learn take as a seed."""
MAX_NEW_TOKENS = 1_000_000
MAX_SHOTS = 1_000
MAX_DRAWS = 100_000
"""Random directions, permutations, half samples."""
MAX_LAYERS = 10_000
MAX_STRENGTHS = 1_000
"""Strengths of a grid."""
MAX_STRENGTH = 1e6
"""Size of a strength, in any unit; the smallest but 0 is one over it. Beyond, float32 and bfloat16 lose the model."""
MAX_CELLS = 100_000
"""Cells of a comparison."""
MAX_MEMORY_MIB = 2**24
_MAX_CHARACTERS = 4_096  # the longest path of Linux


def _checked_name(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    if len(value) > _MAX_CHARACTERS:
        raise ValueError(f"it has {len(value)} characters, and {_MAX_CHARACTERS} are the most")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in value):
        raise ValueError("it holds a line end or another control character")
    if problem := why_no_text(value):
        raise ValueError(f"it {problem}")
    if "://" in value:
        raise ValueError("it is an address of the web; give a name or a path")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]
"""Name or path in the settings: one line of text, not empty, no address (which may hold a password)."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Draws = Annotated[int, Field(ge=1, le=MAX_DRAWS)]
