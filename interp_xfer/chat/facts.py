"""What a tokenizer and its chat template do of themselves, found by rendering three short turns."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from interp_xfer.chat.process import PINNED_DATE, Rendered, TemplateRefused
from interp_xfer.chat.rendering import Turn, render_turns, template_source
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import ModelError

_QUESTION, _ANSWER, _NEXT = "What is one and one?", "It is two.", "And two and two?"


@dataclass(frozen=True)
class ChatFacts:
    """Of one tokenizer."""

    control: frozenset[int]
    """Ids that frame turns or texts: special tokens, and added ones that the template writes. Never in data. The token
    for unknown characters is none of them."""
    before: tuple[int, ...]
    """Ids that the tokenizer puts before a plain text (BOS)."""
    turn_end: int | None
    """Id with which the template ends the assistant's turn, where that is a control token."""
    date: str | None
    """The date that the template writes into prompts, pinned; None where it writes none."""
    system_text: str | None
    """What the template writes before the first turn when no system prompt is given, control tokens included; None
    where that is nothing but control tokens."""


_known: WeakKeyDictionary[Tokenizer, tuple[str | None, ChatFacts]] = WeakKeyDictionary()


def chat_facts(tokenizer: Tokenizer) -> ChatFacts:
    """The facts about a tokenizer; found once for each chat template it is given.

    Raises: ModelError if the template can render no conversation.
    """
    source = template_source(tokenizer)
    if tokenizer not in _known or _known[tokenizer][0] != source:
        _known[tokenizer] = (source, _find(tokenizer, source))
    return _known[tokenizer][1]


def _find(tokenizer: Tokenizer, source: str | None) -> ChatFacts:
    special = _special_ids(tokenizer)
    before = _before(tokenizer)
    if source is None:
        return ChatFacts(frozenset(special), before, None, None, None)
    plain, with_system = _conversations(tokenizer)
    text = next(rendered.text for rendered in (plain, with_system) if rendered)
    marks = [text.find(part) for part in (_QUESTION, _ANSWER, _NEXT)]
    if min(marks) < 0:
        raise ModelError("the chat template changes or drops the text of turns; prompts cannot be made with it.")
    added = {i for i in tokenizer.get_added_vocab().values() if tokenizer.decode([i]).strip()}

    def ids(part: str) -> list[int]:
        return list(tokenizer(part, add_special_tokens=False)["input_ids"])

    control = special | (added & set(ids(text)))
    between = text[marks[1] + len(_ANSWER) : marks[2]]
    ends = [token for token in ids(between.lstrip())[:1] if token in control]
    own = None if plain is None else _without_common_end(text[: marks[0]], between)
    return ChatFacts(
        control=frozenset(control),
        before=before,
        turn_end=ends[0] if ends else None,
        date=PINNED_DATE if any(rendered and rendered.dated for rendered in (plain, with_system)) else None,
        system_text=own if own and tokenizer.decode([i for i in ids(own) if i not in control]).strip() else None,
    )


def _special_ids(tokenizer: Tokenizer) -> set[int]:
    """Special tokens, but for that of unknown characters: any text may hold those, and nothing ends with one."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    special |= set(tokenizer.all_special_ids)
    if tokenizer.unk_token_id not in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        special.discard(tokenizer.unk_token_id)
    return special


def _conversations(tokenizer: Tokenizer) -> tuple[Rendered | None, Rendered | None]:
    """Three turns, alone and after a system turn; None where the template refuses.

    Raises: ModelError if it refuses both.
    """
    turns: list[Turn] = [
        {"role": role, "content": content}
        for role, content in (("user", _QUESTION), ("assistant", _ANSWER), ("user", _NEXT))
    ]
    found: list[Rendered | None] = []
    reason = ""
    for conversation in (turns, [{"role": "system", "content": "Be brief."}, *turns]):
        try:
            found.append(render_turns(tokenizer, conversation, add_generation_prompt=False))
        except TemplateRefused as error:
            found.append(None)
            reason = reason or str(error)
    if found == [None, None]:
        raise ModelError(f"the chat template cannot render a user and assistant conversation: {reason}.")
    return found[0], found[1]


def _before(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What the tokenizer puts before a text; what it puts after it (an end of sequence) would end every prompt."""
    bare, whole = (list(tokenizer("a", add_special_tokens=special)["input_ids"]) for special in (False, True))
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return tuple(whole[:at])


def _without_common_end(beginning: str, between: str) -> str:
    """What is written before the first user turn only: the beginning without what precedes every user turn."""
    common = 0
    while common < min(len(beginning), len(between)) and beginning[-1 - common] == between[-1 - common]:
        common += 1
    return beginning[: len(beginning) - common]
