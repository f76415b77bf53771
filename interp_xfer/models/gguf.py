"""GGUF files, dequantised once into a Hugging Face folder of float32 safetensors.

Transformers reads the GGUF (`gguf_file=`); dequantising takes tens of seconds in Python, so the result is cached under
the sha256 of the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import torch

from interp_xfer.errors import ModelError
from interp_xfer.models.cache import cache_dir, cached_folder
from interp_xfer.reading import file_sha256


def converted_gguf(path: Path) -> tuple[Path, str]:
    """The Hugging Face folder made from a GGUF file (converted at the first call), and the sha256 of the file."""
    sha256 = file_sha256(path)
    return cached_folder(cache_dir() / "gguf" / sha256, lambda folder: convert_gguf(path, folder)), sha256


def convert_gguf(path: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file into `folder` as float32 safetensors.

    Raises: ModelError if the file is no GGUF, its architecture is unknown to transformers, or weights are missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with _parsed_once():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(path.parent), gguf_file=path.name, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    except (ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ModelError(
            f"cannot read {path.name} as a GGUF model: {error}. Check that the file is complete and that transformers "
            f"supports its architecture."
        ) from None
    model, info = loaded
    require_all_weights(info, path.name)
    _forget_quantiser(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def require_all_weights(info: dict[str, Any], source: str) -> None:
    """Nothing, if transformers found every weight; it fills in random numbers otherwise, and only warns.

    Raises: ModelError with the number of missing weights and the first.
    """
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"{source} lacks {len(missing)} weights of its architecture (first: {missing[0]}); they would be random "
            f"numbers. Get a complete copy."
        )


@contextmanager
def _parsed_once() -> Iterator[None]:
    """One `GGUFReader` per file: transformers parses it three times (config, weights, tokenizer), and each time takes
    ten seconds where the vocabulary is large.
    """
    original = gguf.GGUFReader
    gguf.GGUFReader = cache(original)
    try:
        yield
    finally:
        gguf.GGUFReader = original


def _forget_quantiser(model: Any) -> None:
    """The weights are plain float32 now; with a trace of the quantiser left, save_pretrained refuses."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
