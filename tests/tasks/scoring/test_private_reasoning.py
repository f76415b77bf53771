import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_xfer.tasks.scoring.private_reasoning import REASONING_TAGS, ReasoningTag, left_open, public_text


@pytest.mark.parametrize(
    "text, public, is_open",
    [
        ("a<think>b</think>c", "a c", False),
        ("<think>b</think>c", "c", False),
        ("<think>b", "", True),
        ("a<think>b", "a", True),
        ("b</think>c", "c", False),  # the prompt opened it
        ("a</think>b</think>c", "c", False),
        ("<think>a<think>b</think>c", "c", False),
        ("<think>a<think>b</think>c</think>d", "c d", False),
        ("<think>a</thinking>b</think>c", "c", False),  # of another kind
        ("<think>a</think>b<think>c", "b", True),
        ("<THINK>a</Think>b", "b", False),
        ("no tags <b>at all</b>", "no tags <b>at all</b>", False),
        ("", "", False),
    ],
)
def test_public_text(text, public, is_open):
    assert public_text(text) == (public, is_open)


@pytest.mark.parametrize("tag", REASONING_TAGS, ids=lambda tag: tag.opening)
def test_every_tag_of_the_field(tag):
    assert public_text(f"{tag.opening}secret{tag.closing}open") == ("open", False)
    assert left_open(f"Question\n{tag.opening}\n", REASONING_TAGS) == tag.opening
    assert left_open(f"Question\n{tag.opening}\n\n{tag.closing}\n\n", REASONING_TAGS) == ""


def test_tags_can_be_chosen():
    tags = (ReasoningTag("<<", ">>"),)
    assert public_text("a<<b>>c<think>d", tags) == ("a c<think>d", False)
    assert public_text("<think>a</think>b", ()) == ("<think>a</think>b", False)
    assert left_open("x <<", tags) == "<<" and left_open("x <think>", tags) == "" == left_open("<think>", ())


@given(st.lists(st.sampled_from(["a", "b ", "<think>", "</think>", "[THINK]", "[/THINK]"]), max_size=12), st.text("cd"))
def test_what_is_public_does_not_depend_on_what_is_private(pieces, secret):
    text = "".join(pieces)
    hidden = f"<think>{secret}</think>{text}"
    assert secret == "" or secret not in public_text(hidden).text
    assert public_text(hidden).is_open == public_text(text).is_open or "</think>" in text
