"""Conversations as text, by the tokenizer's own chat template.

The same text as `tokenizer.apply_chat_template(..., tokenize=False)`, but rendered in a process with limits
(`worker.py`) and with the date standing still (`PINNED_DATE`): a prompt must not change overnight.
"""

from collections.abc import Sequence

from interp_xfer.chat.process import PINNED_DATE, Rendered, TemplateRefused, shared_process
from interp_xfer.chat.tokenizer import Tokenizer
from interp_xfer.errors import ModelError

__all__ = ["PINNED_DATE", "Turn", "has_chat_template", "render_chat", "render_turns", "template_source"]

Turn = dict[str, str]
"""`role` and `content`."""


def template_source(tokenizer: Tokenizer) -> str | None:
    """The chat template of a tokenizer as it stands; None where it has none.

    Raises: ModelError where the tokenizer cannot say, renders without a template, or has several and none is the
        default: a plain prompt for a model that was trained on conversations would be another experiment.
    """
    if not hasattr(tokenizer, "chat_template"):
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} has no attribute chat_template, so that prompts cannot be made "
            f"for it; load it with transformers.AutoTokenizer, or set the attribute (None for plain prompts)."
        )
    from transformers import PreTrainedTokenizerBase

    if type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} renders conversations by code of its own, not by a template, so "
            f"that prompts cannot be made for it; for Mistral models, uninstall mistral-common and load again."
        )
    if not tokenizer.chat_template:
        return None
    try:
        source = tokenizer.get_chat_template()
    except (ValueError, AttributeError) as error:
        raise ModelError(f"the tokenizer has chat templates, but none for ordinary use: {error}") from None
    if not isinstance(source, str):
        raise ModelError(f"the chat template is a {type(source).__name__}, not a text; mend tokenizer_config.json.")
    return source


def has_chat_template(tokenizer: Tokenizer) -> bool:
    """Whether prompts for this tokenizer are conversations.

    Raises: ModelError where the tokenizer cannot say.
    """
    return template_source(tokenizer) is not None


def render_turns(
    tokenizer: Tokenizer, turns: Sequence[Turn], *, add_generation_prompt: bool, enable_thinking: bool = False
) -> Rendered:
    """Some turns as text; `enable_thinking` goes to templates that know it (Qwen3).

    A template may refuse options it does not know. One that refuses `enable_thinking=False` is asked without: not
    thinking is what it does then. Thinking that was asked for is not dropped.

    Raises: TemplateRefused with the template's reason; ModelError without a template.
    """
    source = template_source(tokenizer)
    if source is None:
        raise ModelError("the tokenizer has no chat template.")
    variables = {
        **{name: _plain(value) for name, value in tokenizer.special_tokens_map.items()},
        "messages": list(turns),
        "tools": None,
        "documents": None,
        "add_generation_prompt": add_generation_prompt,
    }
    try:
        return shared_process().render(source, {**variables, "enable_thinking": enable_thinking})
    except TemplateRefused:
        if enable_thinking:
            raise
        return shared_process().render(source, variables)


def render_chat(
    tokenizer: Tokenizer,
    system: str,
    turns: Sequence[Turn],
    *,
    add_generation_prompt: bool,
    enable_thinking: bool = False,
) -> str:
    """A conversation as text, the system prompt in a turn of its own where the template takes one.

    Where it refuses or drops one, the system prompt stands at the beginning of the first turn.

    Raises: ModelError if the template cannot render the conversation.
    """
    options = {"add_generation_prompt": add_generation_prompt, "enable_thinking": enable_thinking}
    if system:
        try:
            text = render_turns(tokenizer, [{"role": "system", "content": system}, *turns], **options).text
            if system.strip() in text:
                return text
        except TemplateRefused:
            pass  # "System role not supported"
        first, *rest = turns
        turns = [{"role": first["role"], "content": f"{system}\n\n{first['content']}"}, *rest]
    try:
        return render_turns(tokenizer, turns, **options).text
    except TemplateRefused as error:
        raise ModelError(f"the chat template cannot render a user and assistant conversation: {error}.") from None


def _plain(value: object) -> str | list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else str(value)
