import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks.scoring.latex import is_equiv, last_boxed, normalise_latex, replace_boxes, strip_wrapping

BOXES = [
    (r"\boxed{18}", "18"),
    (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"\boxed{1} and \boxed{2}", "2"),
    (r"\fbox{7}", "7"),
    (r"\boxed 5", "5"),
    (r"\boxed {5}", "5"),
    (r"\boxed{}", ""),
    (r"\boxed{1} and \boxed{2", "1"),
    (r"\boxed{\boxed{3}}", "3"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}"),
    ("no box", None),
    (r"\boxed{", None),
    ("", None),
]


@pytest.mark.parametrize("text, content", BOXES)
def test_last_boxed(text, content):
    assert last_boxed(text) == content


def test_boxes_are_replaced_by_their_content():
    assert replace_boxes(r"$\boxed{\frac{1}{2}}$ or $\boxed{\boxed{3}}$, not \boxed{4") == (
        r"$\frac{1}{2}$ or $3$, not \boxed{4"
    )


# science.md, section 14; 2103.03874
@pytest.mark.parametrize(
    "first, second, equal",
    [
        (None, None, False),  # the published function says True
        ("", "", False),
        (" ", " ", False),
        (None, "5", False),
        ("5", None, False),
        ("5", "5", True),
        (r"\frac12", r"\dfrac{1}{2}", True),
        (r"\frac1{72}", r"\frac{1}{72}", True),
        (r"\frac{1}2", r"\frac{1}{2}", True),
        ("0.5", r"\frac{1}{2}", True),
        (".5", "0.5", True),
        ("1/2", r"\tfrac{1}{2}", True),
        ("x=5", "5", True),
        ("x + y = 5", "5", False),
        (r"5\text{ cm}", "5", True),
        (r"90^\circ", "90", True),
        (r"90^{\circ}", "90", True),
        (r"10\%", "10", True),
        (r"\$5", "5", True),
        (r"\left(1, 2\right)", "(1,2)", True),
        (r"\sqrt3", r"\sqrt{3}", True),
        (r"\sqrt[3]{5}", r"\sqrt[3]{5}", True),
        (r"1\!,\!000", "1,000", True),
        ("12", "2 1", False),
        (r"2\sqrt{3}", r"\sqrt{12}", False),  # math-verify's work
    ],
)
def test_is_equiv(first, second, equal):
    assert is_equiv(first, second) is equal
    assert is_equiv(second, first) is equal


@given(st.text("0123456789abcx+-/\\{}frqtsx $%^.,=() ", max_size=30))
def test_normalising_never_raises_and_an_answer_equals_itself(text):
    assert is_equiv(text, text) is bool(text.strip()) or normalise_latex(text) == ""


@pytest.mark.parametrize(
    "wrapped, inner",
    [
        (r"\text{(C)}", "(C)"),
        (r"$ 5 $", "5"),
        (r"\textbf{\text{a b}}", "a b"),
        (r"\(x\)", "x"),
        (r"\text{a}b", r"\text{a}b"),
    ],
)
def test_strip_wrapping(wrapped, inner):
    assert strip_wrapping(wrapped) == inner
