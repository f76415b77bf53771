"""Layer studies of a run, read back: `layers/<key>/layers.json` and `layers.safetensors`."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from interp_xfer.studies.layer_study import LayerStudyRecord, load_layer_study
from interp_xfer.studies.run_store import RunStore
from interp_xfer_analyses.cells import short_name

MAPS = ("greedy", "proportional", "cka")


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer study."""

    key: str
    label: str
    """Parent, child, data set."""
    parent: str
    child: str
    content: LayerStudyRecord
    tensors: dict[str, Tensor]


def load_layer_record(directory: Path | str) -> LayerRecord:
    """The study in one directory.

    Raises: ArtifactError if it is missing or damaged.
    """
    content, tensors = load_layer_study(directory)
    parent, child = short_name(content.parent.reference), short_name(content.child.reference)
    label = f"{parent} → {child}, {content.study.dataset}"
    return LayerRecord(content.key, label, parent, child, content, tensors)


def load_layer_records(store: RunStore) -> tuple[LayerRecord, ...]:
    """All layer studies of a run, by label; none is no error.

    Raises: ArtifactError if one is damaged.
    """
    folder = store.root / "layers"
    places = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    found = [load_layer_record(path) for path in places]
    return tuple(sorted(found, key=lambda record: (record.label, record.key)))


NO_STUDY = "there is no layer study; run interp-xfer layers --out with this directory"
