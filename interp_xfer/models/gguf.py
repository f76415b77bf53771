"""GGUF files, dequantised once into a Hugging Face folder of float32 safetensors.

Transformers reads the GGUF (`gguf_file=`); dequantising takes tens of seconds in Python, so the result is cached under
the sha256 of the file.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import torch

from interp_xfer.errors import ModelError
from interp_xfer.fields import Json
from interp_xfer.files.reading import file_sha256
from interp_xfer.models.cache import cache_dir, cached_folder
from interp_xfer.models.files import check_config, library_errors
from interp_xfer.models.gguf_header import check_gguf
from interp_xfer.models.manifest import damage, write_manifest
from interp_xfer.models.untyped import HFModel


def converted_gguf(path: Path) -> tuple[Path, str]:
    """The Hugging Face folder made from a GGUF file (converted at the first call), and the sha256 of the file."""
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    return whole_folder(cache_dir() / "gguf" / sha256, lambda folder: convert_gguf(path, folder)), sha256


def whole_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """`cached_folder`, whose files are what was written; a folder that is damaged is made again.

    Raises: as `cached_folder` and `fill`; ModelError if a damaged folder cannot be removed.
    """

    def described(folder: Path) -> None:
        fill(folder)
        write_manifest(folder)

    folder = cached_folder(target, described)
    if problem := damage(folder):
        sys.stderr.write(f"the converted model in {folder} is damaged ({problem}); it is made again\n")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise ModelError(
                f"the converted model in {folder} is damaged ({problem}) and cannot be removed: {error.strerror}. "
                f"Remove it, or point INTERP_XFER_CACHE elsewhere."
            ) from None
        folder = cached_folder(target, described)
        if problem := damage(folder):
            raise ModelError(f"{folder} is damaged as soon as it is written ({problem}); check the disk.")
    return folder


def convert_gguf(path: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file into `folder` as float32 safetensors.

    Raises: ModelError if the file is no GGUF, its architecture is unknown to transformers, or weights are missing;
        OSError if the folder cannot be written.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

    check_gguf(path)
    remedy = "Check that the file is complete and that transformers supports its architecture."
    # In a folder of its own: transformers would read a tokenizer_config.json that lies beside the file. In the
    # workspace, so that it is found again after a kill.
    with tempfile.TemporaryDirectory(dir=folder.parent) as alone, _parsed_once():
        source, file = alone, "model.gguf"
        (Path(alone) / file).symlink_to(path.resolve())
        with library_errors(path.name, remedy):
            raw, _ = PreTrainedConfig.get_config_dict(source, gguf_file=file)
            check_config(raw, path.name)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                gguf_file=file,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                source, gguf_file=file, trust_remote_code=False, local_files_only=True
            )
    model, info = loaded
    require_all_weights(info, path.name)
    _forget_quantiser(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def require_all_weights(info: Json, source: str) -> None:
    """Raise ModelError unless transformers found every weight; it fills in random numbers otherwise, and only warns.

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


def _forget_quantiser(model: HFModel) -> None:
    """The weights are plain float32 now; with a trace of the quantiser left, save_pretrained refuses."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
