"""Rows of a text corpus read in two models: what projections are fitted on.

1. Each text is cut into tokens by both tokenizers; tokens that end at the same character are paired (`token_pairing`).
   The first position of a text is left out: it carries massive activations in most models, whatever the token is.
2. Batches of texts run through both models; the residual stream of the wanted layers at the paired positions gives the
   rows. Where the rows of all layers fit into a given amount of memory, they are kept, and later readings cost no
   forward pass. `first_part` is a corpus of the first texts, whose rows the reading of the whole leaves behind.
3. `stream_sums` adds the rows to one `PairedSums` per pair of layers. Beside them it can keep the sums of rows paired
   with those of another text, in a random sketch of the child's dimensions: the R² that chance gives, at the cost of
   64 columns.
"""

from collections.abc import Hashable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_xfer.chat import require_plain_text, tokens_with_offsets
from interp_xfer.errors import DataError, ShapeError
from interp_xfer.maths.paired_sums import PairedSums, SharedSums
from interp_xfer.maths.random_directions import rows_of_other_prompts
from interp_xfer.models import LoadedModel
from interp_xfer.passes.activations import read_residuals
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.origins import Corpus
from interp_xfer.streams import normals, stream
from interp_xfer.tasks import FitText
from interp_xfer.tasks.prompt_hashes import PromptHashes
from interp_xfer.transfer.token_pairing import TokenPair, paired_positions

LayerPair = tuple[int, int]
"""(parent layer, child layer)."""

_SHUFFLED_COLUMNS = 64  # random combinations of child dimensions; R² is a ratio of sums over dimensions


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Paired rows of some texts."""

    x: dict[int, Float[Tensor, "rows d_parent"]]
    """Parent layer -> rows."""
    y: dict[int, Float[Tensor, "rows d_child"]]
    """Child layer -> the same tokens."""
    texts: Int[Tensor, " rows"]
    """Number of the text that each row comes from."""
    n_texts: int


@dataclass(frozen=True)
class _PairedText:
    parent_ids: list[int]
    child_ids: list[int]
    pairs: list[TokenPair]


class PairedCorpus:
    """Texts that are ready to be read in both models, batch by batch, as often as needed.

    Arguments:
        parent: the model the concept was found in.
        child: the model to steer.
        texts: ordinary texts.
        keep_bytes: rows of all layers are kept in memory when they need no more than this.
        texts_per_batch: at most.
        part_rows: size of `first_part`, in rows.
        part_bytes: rows of the first part are kept in memory when they need no more than this.
    Raises: ModelError where a tokenizer cannot say which characters a token covers; DataError for a text that holds a
        control token, or more tokens than a context, or where no text has a pair of tokens.
    """

    def __init__(
        self,
        parent: LoadedModel,
        child: LoadedModel,
        texts: Sequence[FitText],
        keep_bytes: int = 0,
        texts_per_batch: int = 16,
        part_rows: int = 0,
        part_bytes: int = 2**30,
    ) -> None:
        self.parent, self.child, self._texts_per_batch = parent, child, texts_per_batch
        self.prompts = PromptHashes.of(texts)
        paired = [_pair_tokens(parent, child, text) for text in texts]
        self.n_texts = len(paired)
        self.n_rows = sum(len(item.pairs) for item in paired)
        n_child_tokens = sum(len(item.child_ids) for item in paired)
        self.paired_fraction = self.n_rows / n_child_tokens if n_child_tokens else 0.0
        self._items = [item for item in paired if item.pairs]
        if not self._items:
            raise DataError(
                f"no token of {len(paired)} projection texts ends at the same character in {parent.name} and "
                f"{child.name}, the first of each text left out; give more or longer texts."
            )
        self._kept: list[RowBatch] | None = None
        self._keep = self._bytes(self.n_rows) <= keep_bytes
        sizes = [sum(len(item.pairs) for item in items) for items in self._in_batches()]
        self._n_part = next((n for n in range(len(sizes)) if sum(sizes[:n]) >= part_rows), len(sizes))
        self._keep_part = self._bytes(sum(sizes[: self._n_part])) <= part_bytes
        self._part: list[RowBatch] = []

    def describe(self, seed: int | None = None) -> Corpus:
        """What artifacts say about it; with the seed of what was drawn for the maps."""
        return Corpus(n_texts=self.n_texts, n_rows=self.n_rows, paired_fraction=self.paired_fraction, seed=seed)

    def first_part(self) -> "PairedCorpus":
        """A corpus of the batches at the beginning that hold `part_rows` rows, or of all where there are fewer.

        A reading of the whole before this call spares the reading of the part, if its rows were kept.
        """
        part = copy(self)
        part._items = [item for items in self._in_batches()[: self._n_part] for item in items]
        part.n_texts, part.n_rows = len(part._items), sum(len(item.pairs) for item in part._items)
        kept = self._part if self._kept is None else self._kept[: self._n_part]
        part._keep, part._kept = self._keep or self._keep_part, kept if len(kept) == self._n_part else None
        part._part, part._keep_part = [], False
        return part

    def batches(
        self, parent_layers: Sequence[int], child_layers: Sequence[int], progress: Progress = no_progress
    ) -> Iterator[RowBatch]:
        """The rows of all texts at the given layers; either side may be empty.

        Arguments:
            parent_layers: 0-based.
            child_layers: 0-based.
            progress: called with the number of texts done.
        Returns: yields batches of texts of nearly equal number; each may hold more layers than were asked for.
        """
        if self._kept is None and self._keep:
            every = (range(self.parent.n_layers), range(self.child.n_layers))
            self._kept = list(self._read(*every, progress))
            yield from self._kept
        elif self._kept is not None:
            for batch in self._kept:
                yield batch
                progress(batch.n_texts)
            progress(self.n_texts - len(self._items))  # texts without paired tokens
        else:
            yield from self._read(parent_layers, child_layers, progress)

    def _read(
        self, parent_layers: Sequence[int], child_layers: Sequence[int], progress: Progress
    ) -> Iterator[RowBatch]:
        start = 0
        for number, items in enumerate(self._in_batches()):
            in_part = self._keep_part and number < self._n_part and number == len(self._part)
            layers = (
                (range(self.parent.n_layers), range(self.child.n_layers)) if in_part else (parent_layers, child_layers)
            )
            texts = torch.tensor([n for n, item in enumerate(items, start) for _ in item.pairs])
            x = _read_rows(self.parent, [(i.parent_ids, [p.parent for p in i.pairs]) for i in items], layers[0])
            y = _read_rows(self.child, [(i.child_ids, [p.child for p in i.pairs]) for i in items], layers[1])
            batch = RowBatch(x, y, texts, len(items))
            if in_part:
                self._part.append(batch)
            yield batch
            progress(len(items))
            start += len(items)
        progress(self.n_texts - len(self._items))  # texts without paired tokens

    def _in_batches(self) -> list[list[_PairedText]]:
        # Even sizes: a last batch of one text would have nobody to be shuffled with.
        n_batches = -(-len(self._items) // self._texts_per_batch)
        cuts = [len(self._items) * number // n_batches for number in range(n_batches + 1)]
        return [self._items[start:stop] for start, stop in pairwise(cuts)]

    def _bytes(self, n_rows: int) -> int:
        return 4 * n_rows * (self.parent.n_layers * self.parent.d_model + self.child.n_layers * self.child.d_model)


class StreamedSums(NamedTuple):
    """Sums by (parent layer, child layer)."""

    real: dict[LayerPair, PairedSums]
    shuffled: dict[LayerPair, PairedSums]
    """Of rows paired with those of another text, child side sketched; empty where not asked for or not possible."""


def stream_sums(
    corpus: PairedCorpus,
    pairs: Sequence[LayerPair],
    *,
    with_shuffled: bool = False,
    shuffle_seed: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> StreamedSums:
    """Paired sums for some pairs of layers, from one reading of the corpus; all rows of a text are in one fold.

    Arguments:
        corpus: what is read.
        pairs: (parent layer, child layer).
        with_shuffled: also keep sketched sums of wrongly paired rows. They are given up when one text holds more than
            half of the rows of its batch.
        shuffle_seed: pair every row with a row of another text instead of its own: a control.
        seed: of the wrongly paired rows and their sketch.
        progress: called with the number of texts done.
    Returns: sums; those of one parent layer share its side.
    Raises: ShapeError when `shuffle_seed` is given and one text holds more than half of the rows of its batch.
    """
    d_child = corpus.child.d_model
    children: dict[int, list[int]] = {}
    for p, c in pairs:
        children.setdefault(p, []).append(c)
    targets = [(False, d_child), (True, _SHUFFLED_COLUMNS)][: 1 + with_shuffled]
    sums = {
        p: SharedSums(corpus.parent.d_model, {(c, shuffled): width for c in layers for shuffled, width in targets})
        for p, layers in children.items()
    }
    sketch = normals(stream(seed, "sketch of wrong pairs"), d_child, _SHUFFLED_COLUMNS).float()
    child_layers = sorted({c for _, c in pairs})
    measured = with_shuffled
    for number, batch in enumerate(corpus.batches(sorted(children), child_layers, progress)):
        if shuffle_seed is not None:
            partner = rows_of_other_prompts(batch.texts, stream(shuffle_seed, "shuffled-pairs", number))
            ys = {c: batch.y[c][partner] for c in child_layers}
        else:
            ys = {c: batch.y[c] for c in child_layers}
        wrong = torch.arange(len(batch.texts))
        if measured:
            try:
                wrong = rows_of_other_prompts(batch.texts, stream(seed, "wrong pairs", number))
            except ShapeError:
                measured = False
        sketched = {c: ys[c][wrong] @ sketch for c in child_layers} if with_shuffled else {}
        folds = batch.texts % 3
        for p, layers in children.items():
            rows: dict[Hashable, Tensor] = {
                (c, is_shuffled): (sketched if is_shuffled else ys)[c] for c in layers for is_shuffled, _ in targets
            }
            sums[p].add(batch.x[p], rows, folds)
    return StreamedSums(
        {(p, c): sums[p].of((c, False)) for p, c in pairs},
        {(p, c): sums[p].of((c, True)) for p, c in pairs} if measured else {},
    )


def passes(pairs: Sequence[LayerPair], d_parent: int, d_child: int, max_bytes: int) -> list[list[LayerPair]]:
    """Pairs of layers in groups whose sums fit into `max_bytes`; each group takes one reading of the corpus.

    Arguments:
        pairs: (parent layer, child layer).
        d_parent: width of the parent.
        d_child: width of the child.
        max_bytes: of float64 sums in three folds; a single pair of layers may exceed it.
    Returns: groups, pairs of one parent layer next to each other.
    """
    of_parent, of_pair = (24 * n for n in (d_parent**2, d_parent * d_child + d_child**2))
    groups: list[list[LayerPair]] = []
    size = 0
    for pair in sorted(pairs):
        shared = bool(groups) and any(p == pair[0] for p, _ in groups[-1])
        cost = of_pair if shared else of_parent + of_pair
        if not groups or size + cost > max_bytes:
            groups.append([])
            size, cost = 0, of_parent + of_pair
        groups[-1].append(pair)
        size += cost
    return groups


def _pair_tokens(parent: LoadedModel, child: LoadedModel, text: FitText) -> _PairedText:
    where = f"fit text {text.id} ({text.where})" if text.where else f"fit text {text.id}"
    for model in (parent, child):
        require_plain_text(model.tokenizer, text.text, where)
    parent_ids, parent_offsets = tokens_with_offsets(parent.tokenizer, text.text)
    child_ids, child_offsets = tokens_with_offsets(child.tokenizer, text.text)
    for model, ids in ((parent, parent_ids), (child, child_ids)):
        model.require_room(len(ids), f"{where} has {len(ids)} tokens", "Shorten it.", DataError)
    pairs = [pair for pair in paired_positions(parent_offsets, child_offsets) if pair.parent > 0 and pair.child > 0]
    return _PairedText(parent_ids, child_ids, pairs)


def _read_rows(
    model: LoadedModel, texts: Sequence[tuple[list[int], list[int]]], layers: Sequence[int]
) -> dict[int, Tensor]:
    """Rows of each layer at the chosen positions of (token ids, positions)."""
    if not layers:
        return {}
    input_ids, mask = model.padded([ids for ids, _ in texts], "right")
    rows = [row for row, (_, chosen) in enumerate(texts) for _ in chosen]
    columns = [position for _, chosen in texts for position in chosen]
    return read_residuals(model, input_ids, mask, layers, lambda residual: residual[rows, columns])
