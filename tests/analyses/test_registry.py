"""Every analysis on a full run, on many cells, and on runs with gaps."""

import json

import pytest

NAMES = (
    "results-table",
    "lambda-robustness",
    "inference-scaling",
    "flips",
    "concept-profile",
    "transfer-profile",
    "pc-alignment",
)
COMPARISONS = ("mapping-comparison",)  # need cells that differ in a setting: test_mapping_comparison.py
MEASURED = ("layer-sensitivity",)  # needs a record of its own: test_sensitivity_figure.py
OF_LAYER_STUDIES = ("layer-similarity", "concept-readout")  # need `layers/`: test_layer_study.py


def test_names():
    from interp_xfer_analyses.registry import ANALYSES

    assert set(ANALYSES) == {*NAMES, *COMPARISONS, *MEASURED, *OF_LAYER_STUDIES}
    assert {name for name, analysis in ANALYSES.items() if analysis.reads == "layers"} == set(OF_LAYER_STUDIES)
    assert all(name == analysis.name for name, analysis in ANALYSES.items())


def test_unknown_name_lists_the_known_ones():
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.errors import ConfigError

    with pytest.raises(ConfigError, match="unknown analysis 'heatmap'; .*choose from results-table, "):
        ANALYSES["heatmap"]


@pytest.mark.parametrize("name", NAMES)
def test_on_one_cell_and_on_many(name, demo, small_grid):
    from interp_xfer_analyses.registry import ANALYSES

    for store in (demo, small_grid):
        analysis = ANALYSES[name]
        table = analysis.compute(store)
        assert table.rows and table.missing == ()
        figure = analysis.figure(table)
        assert len(figure.data) > 0
        assert figure.layout.height > 100
        assert analysis.describe(table).endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_table_round_trips_as_json(name, demo, tmp_path):
    from interp_xfer_analyses.registry import ANALYSES
    from interp_xfer_analyses.tables import write_table

    table = ANALYSES[name].compute(demo)
    written = json.loads(write_table(tmp_path / "table.json", table).read_text())
    assert len(written["rows"]) == len(table.rows)
    assert written["missing"] == []
