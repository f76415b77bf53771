"""Tiny random models of every architecture, and tokenizers, built in memory: no hub, no mocks, the same every time.

`interp_xfer` is imported inside functions, so that the runtime type checks are in place before it is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

VOCAB = 300
N_LAYERS = 3
D_MODEL = 32
WINDOW = 6  # shorter than every prompt of the tests

COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": D_MODEL,
    "intermediate_size": 48,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Ten times the usual spread: with less, random models repeat one token whatever they read.
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}

FAST = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "phi3")
"""Architectures that the sweep engine runs on its fast path."""
SLOW = ("gpt_neox",)
"""Architectures that it does not."""
ARCHITECTURES = (*FAST, *SLOW)


def config(architecture: str, **changes: Any) -> Any:
    """The configuration of a tiny model; sliding windows are shorter than prompts, soft caps low enough to matter."""
    from transformers import (
        Gemma2Config,
        Gemma3TextConfig,
        GPTNeoXConfig,
        LlamaConfig,
        MistralConfig,
        Phi3Config,
        Qwen2Config,
        Qwen3Config,
    )

    windows = {"sliding_window": WINDOW}
    some = {**windows, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "head_dim": 16}
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
    gemma = {**some, "query_pre_attn_scalar": 12}
    kinds = {
        "llama": (LlamaConfig, {}),
        "qwen2": (Qwen2Config, {}),
        "qwen3": (Qwen3Config, {**some, "use_sliding_window": True}),
        "gemma2": (Gemma2Config, {**gemma, **caps}),
        "gemma3": (Gemma3TextConfig, gemma),
        "mistral": (MistralConfig, windows),
        "phi3": (Phi3Config, windows),
        "gpt_neox": (GPTNeoXConfig, {}),
    }
    kind, own = kinds[architecture]
    values = {**COMMON, **own, **changes}
    if architecture == "gpt_neox":
        del values["num_key_value_heads"]
    return kind(**values)


def hf_model(architecture: str, seed: int = 0, **changes: Any) -> Any:
    """A Hugging Face model; the same seed gives the same weights. `changes` go to its configuration."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config(architecture, **changes), attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # norms and biases, which initialisation leaves at one and zero
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=0.3 if "norm" in name else 0.1)
    return model.requires_grad_(False)


def tiny(
    architecture: str,
    seed: int = 0,
    tokenizer: Any = None,
    reference: str | None = None,
    device: str = "cpu",
    **changes: Any,
) -> Any:
    """A LoadedModel of its own, which a test may change. `changes` go to its configuration."""
    from interp_xfer.models import wrap_model

    tokenizer = make_tokenizer() if tokenizer is None else tokenizer
    plain = hf_model(architecture, seed, **changes).to(device)
    return wrap_model(plain, tokenizer, reference=reference or f"tiny/{architecture}-{seed}")


def rotated_llamas(seed: int = 0) -> tuple[Any, Any, torch.Tensor]:
    """Two Llamas that compute the same in bases of the residual stream that differ by a rotation: h_child = h Q.

    With norm weights of one, RMSNorm commutes with Q; what reads the stream reads h Q, what writes it writes h Q.
    """
    from interp_xfer.models import wrap_model

    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator)).Q
    plain, turned = hf_model("llama", seed), hf_model("llama", seed)
    with torch.no_grad():
        for model in (plain, turned):
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.fill_(1)
        for name, parameter in turned.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.copy_(rotation.T @ parameter)
            elif parameter.ndim == 2:
                parameter.copy_(parameter @ rotation)
    parent = wrap_model(plain, make_tokenizer(), reference="tiny/plain")
    return parent, wrap_model(turned, make_tokenizer(), reference="tiny/rotated"), rotation


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = (
    "Question: Mia has 3 apples and Omar gives her 4 more. How many apples does she have now?\nAnswer: 3 + 4 = 7.",
    "There are 12 marbles on a table and 5 in a bag. In all there are 12 + 5 = 17 marbles. The answer is 17.",
    "user assistant system The answer is 8.\n\n",
)
OTHER_CORPUS = ("The quick brown fox jumps over the lazy dog, and there are many more of the other things it has.",)


def make_tokenizer(chat: bool = True, corpus: Sequence[str] = CORPUS) -> Any:
    """A byte-level BPE tokenizer with at most VOCAB tokens. Another corpus cuts texts at other places."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "<|im_end|>", "<pad>", "<|im_start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*corpus] * 3, trainer)
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML if chat else None,
    )


def random_steering(model: Any, seed: int = 0, layers: Sequence[int] | None = None, norm: float = 8.0) -> Any:
    """Random unit vectors for some layers (default: all) of a model, and residual norms near `norm`."""
    from interp_xfer.maths.layer_maps import LayerMap
    from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
    from interp_xfer.steering.vectors import SteeringVectors
    from interp_xfer.tasks.prompt_hashes import PromptHashes

    layers = range(model.n_layers) if layers is None else layers
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(model.n_layers, model.d_model, generator=generator), dim=1)
    parent_of = tuple(layer if layer in layers else None for layer in range(model.n_layers))
    vectors = vectors * torch.tensor([[float(layer in layers)] for layer in range(model.n_layers)])
    return SteeringVectors(
        vectors=vectors,
        residual_norms=norm * (1 + torch.arange(model.n_layers) / 2),
        layer_map=LayerMap(parent_of, model.n_layers, "manual"),
        child=model.fingerprint,
        parent=replace(model.fingerprint, reference="tiny/parent"),
        flipped=(False,) * model.n_layers,
        concept=ConceptOrigin(kind="random", explained_variance=(None,) * model.n_layers),
        projection=ProjectionOrigin(kind="none"),
        prompts=PromptHashes(frozenset({"00aa" * 4, "11bb" * 4})),
    )


@contextmanager
def unchecked() -> Iterator[None]:
    """Without the runtime type checks of the tests, which refuse before the code can: what a user sees."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def random_ids(n: int, length: int, seed: int = 0) -> torch.Tensor:
    """(n, length) token ids without special tokens."""
    return torch.randint(4, VOCAB, (n, length), generator=torch.Generator().manual_seed(seed))


def token_prompts(suffix_lengths: Sequence[int], prefix: int = 0, seed: int = 0) -> list[Any]:
    """Random prompts with one shared random prefix."""
    from interp_xfer.generation import TokenPrompt

    shared = tuple(random_ids(1, max(prefix, 1), seed + 1000)[0, :prefix].tolist())
    return [
        TokenPrompt(f"q{i}", shared, tuple(random_ids(1, length, seed + i)[0].tolist()))
        for i, length in enumerate(suffix_lengths)
    ]


def cached_logits(
    hf: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    new: torch.Tensor,
    before: Callable[[torch.Tensor, bool], None] = lambda mask, is_prompt: None,
) -> list[torch.Tensor]:
    """Logits of a padded prompt, and of one cached pass for each column of `new`.

    `before(mask of the pass, whether it is the prompt)` is called ahead of each pass.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=hf.config)
    out = []
    for step in range(new.shape[1] + 1):
        inputs = ids if step == 0 else new[:, step - 1 : step]
        if step:
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
        before(mask[:, -inputs.shape[1] :], step == 0)
        result = hf(
            input_ids=inputs, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        out.append(result.logits)
    return out


def scripted_engine(model: Any, write: Callable[[str, float], Any]) -> Any:
    """A sweep engine that computes nothing: `write(problem id, strength)` gives each text, or a whole Generation.

    For what is done with answers once they are there; `engine.calls` keeps the strengths of each call. It is for
    `random_steering(model)` with the settings that are the default.
    """
    from interp_xfer.generation import Generation, SweepEngine

    class Scripted(SweepEngine):
        def __init__(self) -> None:
            self.model, self.steering = model, random_steering(model)
            self.operator, self.tokens, self.unit = "add", "all", "relative"
            self.calls: list[tuple[float, ...]] = []

        def generate(self, prompts: Any, strengths: Any, **options: Any) -> Any:
            self.calls.append(tuple(strengths))
            options["progress"](len(prompts) * len(strengths))
            made = [[write(prompt.name, strength) for prompt in prompts] for strength in strengths]
            return [[Generation(m, (7, 8), "eos") if isinstance(m, str) else m for m in row] for row in made]

    return Scripted()
