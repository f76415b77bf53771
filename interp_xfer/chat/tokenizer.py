"""What is asked of a tokenizer: of one of transformers, whose own types say less than is true of one text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from interp_xfer.fields import Json

if TYPE_CHECKING:  # at run time any object passes; `template_source` says what is wrong with others

    class AddedToken(Protocol):
        """One that is no part of the vocabulary."""

        special: bool

    class Tokenizer(Protocol):
        """Text to token ids and back."""

        bos_token_id: int | None
        eos_token_id: int | None
        pad_token_id: int | None
        unk_token_id: int | None
        eos_token: str | None
        pad_token: str | None
        padding_side: str
        chat_template: object
        init_kwargs: Json
        special_tokens_map: Mapping[str, object]
        added_tokens_decoder: Mapping[int, AddedToken]
        all_special_ids: Sequence[int]

        def __call__(self, text: str, **options: bool) -> Json:
            """`input_ids`, and what else the options ask for."""
            ...

        def decode(self, token_ids: int | Sequence[int], skip_special_tokens: bool = False) -> str:
            """The text."""
            ...

        def convert_ids_to_tokens(self, ids: int) -> str:
            """The token as the vocabulary writes it."""
            ...

        def get_vocab(self) -> Mapping[str, int]:
            """All tokens."""
            ...

        def get_added_vocab(self) -> Mapping[str, int]:
            """Those that are no part of the vocabulary."""
            ...

        def get_chat_template(self) -> object:
            """The template for ordinary use."""
            ...

        def apply_chat_template(self, conversation: Sequence[Mapping[str, str]], **options: object) -> object:
            """Never called: rendering is done apart (`process`)."""
            ...

else:
    Tokenizer = object
