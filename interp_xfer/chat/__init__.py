"""Text for a model: chat templates, rendered within limits, and tokens, with control tokens kept apart from data."""

from interp_xfer.chat.facts import ChatFacts, chat_facts
from interp_xfer.chat.rendering import PINNED_DATE, has_chat_template, render_chat
from interp_xfer.chat.tokens import require_plain_text, token_ids, tokens_with_offsets

__all__ = [
    "PINNED_DATE",
    "ChatFacts",
    "chat_facts",
    "has_chat_template",
    "render_chat",
    "require_plain_text",
    "token_ids",
    "tokens_with_offsets",
]
