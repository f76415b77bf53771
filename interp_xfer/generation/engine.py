"""The sweep: every prompt at every strength, in few and large forward passes.

1. The prefix that all prompts share (system prompt and examples) runs once per strength, or once for all strengths
   where steering leaves it alone (`tokens="generated"`); its keys and values are kept for later calls.
2. Rows, one per (prompt, strength), fill a batch. A finished row leaves at once, and new rows enter when a quarter of
   the batch is free (continuous batching). Each row has its own strength.
3. Attention over the shared prefix is one matrix product for all rows of a prefix (`attention.py`).
4. What a neighbouring strength wrote is the draft of a row, where a pass has room to verify it (`drafts.py`).

Models that the stock attention does not cover go through `reference.py`, and `SweepEngine.path` says so.
"""

from collections.abc import Sequence

import torch

from interp_xfer.choices import StrengthUnit, TokenScope
from interp_xfer.errors import SteeringError
from interp_xfer.generation.batch import Decoding, Row, RunningBatch
from interp_xfer.generation.drafts import DraftBook, anchors_first, draft_room
from interp_xfer.generation.finished import FinishedAnswers
from interp_xfer.generation.graphs import graph_problem
from interp_xfer.generation.memory import BatchPlan, PassLimits, default_budget, pass_limits, plan_batch
from interp_xfer.generation.passes import SteeredPasses
from interp_xfer.generation.records import (
    Generation,
    IsComplete,
    Making,
    RowKey,
    TokenPrompt,
    check_fits,
    row_samples,
)
from interp_xfer.generation.reference import reference_generate
from interp_xfer.generation.sampling import Sampling
from interp_xfer.models import LoadedModel
from interp_xfer.models.bridge_check import refuse_overflow
from interp_xfer.passes.stock_attention import stock_attention_problem
from interp_xfer.progress import Progress, no_progress
from interp_xfer.steering.hooks import Steerer, checked_strengths
from interp_xfer.steering.vectors import SteeringVectors

_FAST_PATH = "shared prefix"


class SweepEngine:
    """Generation of one child under one set of steering vectors, at many strengths.

    Keeps the prefixes it has run, so one engine should serve validation, test and vote.

    Arguments:
        model: the child.
        steering: vectors made for it; None for the unsteered model (strength 0 only).
        operator, tokens, unit: as in `interp_xfer.steering.hooks.steer`.
        max_memory: bytes for all that a sweep adds to the model: caches, logits, the intermediate results of a pass;
            default half of what is free.
        limits: how large a forward pass may be; default what was measured for the kind of device.
    """

    def __init__(
        self,
        model: LoadedModel,
        steering: SteeringVectors | None = None,
        *,
        operator: str = "add",
        tokens: TokenScope = "all",
        unit: StrengthUnit = "relative",
        max_memory: int | None = None,
        limits: PassLimits | None = None,
    ) -> None:
        self.model = model
        self.steering = steering
        self.operator = operator
        self.tokens: TokenScope = tokens
        self.unit: StrengthUnit = unit
        self.max_memory = default_budget(model.device) if max_memory is None else max_memory
        """Bytes for caches, logits and the intermediate results of a pass."""
        steerer = None if steering is None else Steerer(model, steering, operator, unit)
        self._limits = pass_limits(model.device) if limits is None else limits
        self._passes = SteeredPasses(model, steerer, tokens)

    def require(
        self,
        model: LoadedModel,
        steering: SteeringVectors | None,
        *,
        operator: str,
        tokens: TokenScope,
        unit: StrengthUnit,
    ) -> None:
        """Nothing, if the answers of this engine are those of this model under this steering.

        Raises: SteeringError naming all that differs.
        """
        own, asked = (
            {
                "model": str(one.fingerprint),
                "steering vectors": None if vectors is None else vectors.digest,
                "operator": how[0],
                "tokens": how[1],
                "unit": how[2],
            }
            for one, vectors, how in (
                (self.model, self.steering, (self.operator, self.tokens, self.unit)),
                (model, steering, (operator, tokens, unit)),
            )
        )
        if differing := [f"{name} {own[name]} / {asked[name]}" for name in own if own[name] != asked[name]]:
            raise SteeringError(
                f"the engine answers for something else than is asked: {'; '.join(differing)}. Make an engine for it, "
                "or leave the engine out."
            )

    @property
    def forward_tokens(self) -> int:
        """Tokens that went through the model so far, padding included."""
        return self._passes.forward_tokens

    @property
    def forward_passes(self) -> int:
        """Forward passes so far."""
        return self._passes.forward_passes

    @property
    def path(self) -> str:
        """Which path generation takes now, and why not the fast one; hooks may come and go."""
        problem = stock_attention_problem(self.model)
        if problem is not None:
            return f"Hugging Face generate, one strength at a time ({problem})"
        if self._recorded:
            return f"{_FAST_PATH}, recorded decode steps"
        reason = self._passes.not_recordable
        if reason is None and self._limits.recorded and self.model.device.type == "cuda":
            reason = graph_problem(self.model)
        return _FAST_PATH if reason is None else f"{_FAST_PATH}, decode steps not recorded ({reason})"

    @property
    def _recorded(self) -> bool:
        return self._limits.recorded and self._passes.not_recordable is None and graph_problem(self.model) is None

    def generate(
        self,
        prompts: Sequence[TokenPrompt],
        strengths: Sequence[float],
        *,
        max_new_tokens: int,
        is_complete: IsComplete | None = None,
        sampling: Sampling | None = None,
        keep: FinishedAnswers | None = None,
        progress: Progress = no_progress,
    ) -> list[list[Generation]]:
        """The answer to every prompt at every strength.

        Arguments:
            prompts: tokenised; those with equal prefixes share its computation.
            strengths: 0 is the unsteered model. One that is listed several times is sampled several times.
            max_new_tokens: limit for each answer.
            is_complete: stops a row once its text holds the answer.
            sampling: None decodes greedily.
            keep: answers made before; those of the same model, vectors, steering and limits are not made again, others
                are not used. New ones are added as they are finished, so an interrupted call can be repeated.
            progress: called with the number of answers just finished.
        Returns: [strength][prompt], in the order given.
        Raises: ConfigError for a prompt beyond the context, a budget too small for one row, or a strength that is not
            finite; SteeringError for a strength other than 0 without vectors; ModelError for a model that overflows in
            float16 without being steered, naming the layer.
        """
        checked_strengths(strengths)
        if self.steering is None and any(strengths):
            raise SteeringError(f"strengths {list(strengths)} need steering vectors; without them only 0 can be run.")
        check_fits(self.model, prompts, max_new_tokens)
        if stock_attention_problem(self.model) is not None:
            table = [
                reference_generate(
                    self.model, prompts, self.steering, strength, operator=self.operator, tokens=self.tokens,
                    unit=self.unit, max_new_tokens=max_new_tokens, is_complete=is_complete, sampling=sampling,
                    keep=keep, sample=sample, progress=progress,
                )
                for strength, sample in zip(strengths, row_samples(strengths), strict=True)
            ]  # fmt: skip
            self._refuse_overflow(prompts, strengths, table)
            return table
        made_by = Making.of(
            self.model, self.steering, self.operator, self.tokens, self.unit, max_new_tokens, is_complete, sampling
        )
        rows = self._rows(prompts, strengths, sampling, made_by.digest)
        finished: dict[tuple[int, int], Generation] = {}
        if keep is not None:
            for row in rows:
                if (known := keep.get(row.key)) is not None:
                    finished[row.strength_index, row.prompt_index] = known
        recorded = self._recorded
        # Greedy texts of two strengths agree, drawn ones by chance; and a recorded step costs less than drafts save.
        drafts = DraftBook() if sampling is None and len(strengths) > 1 and not recorded else None
        if finished:
            progress(len(finished))
        if drafts is not None:
            for (k, i), known in finished.items():
                drafts.add(i, strengths[k], known.token_ids)
        # Positions and windows count from the end of the prefix: rows of one batch have prefixes of one length.
        groups: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(len(prompt.prefix), []).append(index)
        plans = []
        for length, members in groups.items():
            width = max(len(prompts[i].suffix) for i in members) + max_new_tokens
            plan = plan_batch(
                self.model, self.max_memory, length, width, len(members), len(strengths), self._limits,
                drafts=drafts is not None,
            )  # fmt: skip
            plans.append((members, plan, width))

        def enter(members: list[int], plan: BatchPlan) -> list[Row]:
            """Rows in the order in which they enter the batch."""
            by_length = sorted(members, key=lambda index: -len(prompts[index].suffix))
            # Where some rows must wait anyway and passes have room for drafts, those wait that will have a draft.
            waits = draft_room(plan.rows, plan.tokens) > 0 and plan.rows < len(members) * len(strengths)
            together = [
                list(range(start, min(start + plan.prefixes, len(strengths))))
                for start in range(0, len(strengths), plan.prefixes)
            ]
            if waits:
                together = [part for group in together for part in anchors_first(group)]
            # One prompt at many strengths is rows of equal length, which need no padding; as many strengths at once as
            # prefixes fit.
            order = [(k, i) for group in together for i in by_length for k in group]
            return [rows[k * len(prompts) + i] for k, i in order if (k, i) not in finished]

        def add(done: Sequence[tuple[Row, Generation]]) -> None:
            if keep is not None:
                keep.add((row.key, generation) for row, generation in done)
            finished.update({(row.strength_index, row.prompt_index): generation for row, generation in done})
            if drafts is not None:
                for row, generation in done:
                    drafts.add(row.prompt_index, row.strength, generation.token_ids)
            progress(len(done))

        decoding = Decoding(max_new_tokens, is_complete, sampling, drafts, recorded)
        with torch.inference_mode(), self._passes.active():
            for members, plan, width in plans:
                if waiting := enter(members, plan):
                    run = RunningBatch(self._passes, waiting, add, plan, width, decoding)
                    while run.waiting or run.active:
                        run.admit()
                        run.decode()
                    del run  # its cache goes before that of the next is made
        table = [[finished[k, i] for i in range(len(prompts))] for k in range(len(strengths))]
        self._refuse_overflow(prompts, strengths, table)
        return table

    def _refuse_overflow(
        self, prompts: Sequence[TokenPrompt], strengths: Sequence[float], table: Sequence[Sequence[Generation]]
    ) -> None:
        """Degenerate answers of a steered model say that it was steered too far; of an unsteered one, nothing."""
        for strength, row in zip(strengths, table, strict=True):
            for prompt, made in zip(prompts, row, strict=True):
                if strength == 0 and made.stop_reason == "degenerate":
                    refuse_overflow(self.model, [*prompt.prefix, *prompt.suffix, *made.token_ids])

    @staticmethod
    def _rows(
        prompts: Sequence[TokenPrompt], strengths: Sequence[float], sampling: Sampling | None, made_by: str
    ) -> list[Row]:
        """[strength * n_prompts + prompt]."""
        rows = []
        for k, (strength, sample) in enumerate(zip(strengths, row_samples(strengths), strict=True)):
            for i, prompt in enumerate(prompts):
                key = RowKey(prompt, strength, sample, made_by)
                rows.append(Row(prompt, i, strength, k, key, None if sampling is None else sampling.stream(key)))
        return rows
