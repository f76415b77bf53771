"""Text as token ids: control tokens are the template's, never the data's, and plain text begins with one BOS.

A row of data that holds `<|im_end|>` would end its own turn and could speak for the assistant. Such a text is refused
(`require_plain_text`) where a prompt is made of it, and not tokenised as ordinary characters (`split_special_tokens`):
a prompt is text until it is run (it is shown in records, split where its tokens allow, handed to lm-eval, and read by
the tokenizer of the parent and of the child), and no text can say which of its `<|im_end|>` are meant. What is harmless
keeps exactly the tokens it has.
"""

from interp_xfer.chat.facts import chat_facts
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import DataError, ModelError

Offsets = list[tuple[int, int]]
"""(start, end) of each token in characters, as fast tokenizers return them; special tokens cover none."""


def token_ids(tokenizer: Tokenizer, text: str, add_special_tokens: bool | None) -> list[int]:
    """The tokens of a text.

    Arguments:
        tokenizer: of the model that reads them.
        text: plain, or rendered by a chat template.
        add_special_tokens: True: BOS before a plain text, where the tokenizer puts one; never a second, and never the
            end-of-sequence token that some tokenizers put after a text. False: as it is written. None: True, unless the
            text begins with a control token, as rendered ones do.
    """
    bare = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if add_special_tokens is False:
        return bare
    facts = chat_facts(tokenizer)
    written = bare[:1] == [tokenizer.bos_token_id] if add_special_tokens else bool(facts.control.intersection(bare[:1]))
    return bare if written else [*facts.before, *bare]


def tokens_with_offsets(
    tokenizer: Tokenizer, text: str, add_special_tokens: bool | None = True
) -> tuple[list[int], Offsets]:
    """`token_ids`, and the characters that each covers.

    Raises: ModelError if the tokenizer cannot tell.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} gives no character offsets, which are needed to know the tokens "
            f"of a part of a text; use a model with a fast tokenizer (tokenizer.json)."
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = token_ids(tokenizer, text, add_special_tokens)
    added = len(ids) - len(encoded["input_ids"])
    return ids, [(0, 0)] * added + [(int(start), int(end)) for start, end in encoded["offset_mapping"]]


def require_plain_text(tokenizer: Tokenizer, text: str, where: str) -> None:
    """Raise DataError if a text of data holds a control token of the tokenizer.

    Arguments:
        tokenizer: of the model that will read it.
        text: a question, a solution, a system prompt: before it is put into a template.
        where: what the text is and where it comes from, for the message.
    Raises: DataError naming the token and `where`.
    """
    control = chat_facts(tokenizer).control
    found = next((token for token in tokenizer(text, add_special_tokens=False)["input_ids"] if token in control), None)
    if found is not None:
        raise DataError(
            f"{where} holds {tokenizer.convert_ids_to_tokens(found)!r}, a control token of the model's tokenizer: it "
            f"would end or begin a turn in the middle of the text. Take it out of the data."
        )
