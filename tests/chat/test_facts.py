"""What a tokenizer and its template do of themselves."""

import pytest
from templates import (
    CHATML,
    DATED,
    NEEDS_SYSTEM,
    NO_SYSTEM,
    OTHER_END,
    OWN_SYSTEM,
    PLAIN_MARKS,
    TEMPLATES,
    tokenizer_with,
)
from tiny_models import make_tokenizer
from tokenizers import AddedToken

from interp_xfer.chat import PINNED_DATE, chat_facts
from interp_xfer.errors import ModelError


def test_without_a_template():
    facts = chat_facts(make_tokenizer(chat=False))
    assert facts.control == {0, 1, 2, 3} and facts.before == (0,)
    assert (facts.turn_end, facts.date, facts.system_text) == (None, None, None)


@pytest.mark.parametrize("special", [True, False])
def test_the_token_that_ends_a_turn(special):
    """As `<|end|>` of Phi 3, whose end-of-sequence token is another; special or merely added."""
    tokenizer = tokenizer_with(OTHER_END, AddedToken("<|end|>", special=special, normalized=False))
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert chat_facts(tokenizer).turn_end == end != tokenizer.eos_token_id
    assert end in chat_facts(tokenizer).control


def test_turns_that_end_with_text_end_with_no_token():
    assert chat_facts(tokenizer_with(PLAIN_MARKS)).turn_end is None
    assert chat_facts(tokenizer_with(OTHER_END)).turn_end is None, "where <|end|> is ordinary text"
    assert chat_facts(tokenizer_with(NO_SYSTEM)).turn_end == 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_date_and_a_system_text_of_its_own(name):
    facts = chat_facts(tokenizer_with(TEMPLATES[name]))
    assert facts.date == (PINNED_DATE if name == "dated" else None)
    if name == "own_system":
        assert facts.system_text == "<|im_start|>system\nYou are Tiny, a helpful assistant."
    elif name == "dated":
        assert facts.system_text.startswith("<s><|im_start|>system\nToday Date: ")
    elif name != "quoted":  # which writes every turn as it likes
        assert facts.system_text is None


def test_facts_follow_the_template():
    tokenizer = tokenizer_with(CHATML)
    assert chat_facts(tokenizer).date is None
    tokenizer.chat_template = DATED
    assert chat_facts(tokenizer).date == PINNED_DATE
    tokenizer.chat_template = OWN_SYSTEM
    assert chat_facts(tokenizer).date is None and "Tiny" in chat_facts(tokenizer).system_text
    assert chat_facts(tokenizer_with(NEEDS_SYSTEM)).turn_end == 1


def test_an_end_of_sequence_after_the_text_is_not_before_it():
    from tokenizers import processors

    tokenizer = make_tokenizer()
    ends = processors.TemplateProcessing(single="<s> $A <|im_end|>", special_tokens=[("<s>", 0), ("<|im_end|>", 1)])
    tokenizer.backend_tokenizer.post_processor = ends
    assert tokenizer("a")["input_ids"][-1] == 1 and chat_facts(tokenizer).before == (0,)
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert chat_facts(tokenizer).before == ()


def test_the_unknown_token_is_no_control_token_unless_it_ends_texts():
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"unk_token": "<unk>"})
    assert tokenizer.unk_token_id not in chat_facts(tokenizer).control
    tokenizer = make_tokenizer()
    tokenizer.unk_token = "<|im_end|>"  # GPT-2 has one token for everything
    assert tokenizer.unk_token_id in chat_facts(tokenizer).control


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('nothing works') }}", "cannot render a user and assistant conversation: nothing works"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "changes or drops the text of turns"),
        ("{{ messages[-1].content }}", "changes or drops the text of turns"),
    ],
)
def test_templates_that_render_no_conversation(template, message):
    with pytest.raises(ModelError, match=message):
        chat_facts(tokenizer_with(template))
