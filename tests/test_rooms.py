"""Rooms and their floors, as `interp_xfer/README.md` lists them, against what the files import."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "interp_xfer": ROOT / "interp_xfer",
    "interp_xfer_analyses": ROOT / "analyses" / "interp_xfer_analyses",
    "interp_xfer_cli": ROOT / "cli" / "interp_xfer_cli",
}
PURE = ("maths", "stats")
NOT_PURE = {"transformers", "transformer_lens", "tokenizers", "datasets", "safetensors", "pathlib", "os", "io"}


def module_name(package: str, path: Path) -> str:
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join((package, *(part for part in parts if part != "__init__")))


MODULES = {module_name(package, path): path for package, root in PACKAGES.items() for path in root.rglob("*.py")}


def imports(module: str, path: Path) -> set[str]:
    """Every module that is imported, at the top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


IMPORTS = {module: imports(module, path) for module, path in MODULES.items()}


def room(module: str) -> str:
    package, *rest = module.split(".")
    if package != "interp_xfer":
        return package
    return rest[0] if rest and (PACKAGES[package] / rest[0]).is_dir() else "the rest"


def floors() -> dict[str, int]:
    text = (ROOT / "interp_xfer" / "README.md").read_text(encoding="utf-8")
    return {name: int(floor) for floor, name in re.findall(r"^\| (\d+) \| `?([a-z_ ]+)`? \|", text, re.MULTILINE)}


def test_every_room_is_in_the_table_and_every_row_is_a_room():
    assert set(floors()) == {room(module) for module in MODULES}


def test_imports_go_down():
    """The package itself is the public surface and names its homes; it may be imported from above."""
    height = floors()
    wrong = [
        f"{module} -> {other}"
        for module, others in IMPORTS.items()
        if module != "interp_xfer"
        for other in others & set(MODULES)
        if room(module) != room(other) and height[room(module)] <= height[room(other)]
        or other == "interp_xfer" and room(module) not in PACKAGES
    ]  # fmt: skip
    assert wrong == []


def test_no_import_goes_in_a_circle():
    graph = {module: others & set(MODULES) for module, others in IMPORTS.items() if module != "interp_xfer"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", PURE)
def test_pure_rooms_know_no_model_file_or_tokenizer(name):
    wrong = []
    for module in (module for module in MODULES if room(module) == name):
        for other in IMPORTS[module]:
            if other.split(".")[0] in NOT_PURE or (other in MODULES and room(other) not in (*PURE, "the rest")):
                wrong.append(f"{module} -> {other}")
    assert wrong == []


def test_drawing_knows_no_run():
    drawing = [module for module in MODULES if module.startswith("interp_xfer_analyses.drawing.")]
    known = {other for module in drawing for other in IMPORTS[module] if other in MODULES}
    assert {other for other in known if not other.startswith("interp_xfer_analyses.drawing")} <= {
        "interp_xfer.fields",
        "interp_xfer.stats.p_values",
    }
