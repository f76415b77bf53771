import pytest

from interp_xfer.tasks.scoring.lm_eval_filters import lm_eval_flexible, lm_eval_normal, lm_eval_strict


# science.md, section 14: what lm-eval's two filters read.
@pytest.mark.parametrize(
    "text, flexible",
    [
        ("so 5 + 3 = 8... done", "8.."),
        ("Answer: 8 ...", ".."),
        ("$18.00", "18.00"),
        ("72 (since 36*2)", "2"),
        ("2/3", "3"),
        ("#### 42 because 3 steps", "3"),
        ("", "[invalid]"),
        ("1,000", "1000"),
    ],
)
def test_lm_eval_flexible(text, flexible):
    assert lm_eval_flexible(text) == flexible


@pytest.mark.parametrize(
    "text, strict",
    [
        ("#### 18", "18"),
        ("#### -1,080.", "-1080"),
        ("#### 42 because 3 steps\n#### 5", "42"),
        ("#### The final answer is: 18", "[invalid]"),  # the paper's own format
        ("The answer is 18", "[invalid]"),
    ],
)
def test_lm_eval_strict(text, strict):
    assert lm_eval_strict(text) == strict


@pytest.mark.parametrize(
    "text, normal", [("A #### B #### 1,0$0.", "100"), ("8.\n", "8\n"), ("#### ", ""), ("[INVALID]", "[invalid]")]
)
def test_lm_eval_normal(text, normal):
    """Equal to its `regexes_to_ignore`, one after the other, but linear in the text."""
    assert lm_eval_normal(text) == normal
