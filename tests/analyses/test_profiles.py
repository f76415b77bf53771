"""Concept and transfer profiles: what the cell says, each concept and transfer once."""


def test_concept_values_are_those_of_the_cell(demo):
    from interp_xfer_analyses.questions.concept_profile import compute, figure

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    table = compute(demo)
    assert [row.mean_cosine for row in table.rows] == cell["concept"]["mean_cosine"]
    (cosine,) = figure(table).data
    assert list(cosine.y) == cell["concept"]["mean_cosine"]


def test_cells_share_a_concept(small_grid):
    from interp_xfer_analyses.questions.concept_profile import compute

    names = {row.concept for row in compute(small_grid).rows}
    assert names == {
        f"{parent}, {dataset}" for parent in ("phi-4", "Qwen2.5-14B-Instruct") for dataset in ("gsm8k", "arc_challenge")
    }


def test_transfer_values_are_those_of_the_cell(demo):
    from interp_xfer_analyses.questions.transfer_profile import compute, figure

    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    table = compute(demo)
    assert [row.parent_layer for row in table.rows] == cell["layer_map"]["parent_of"]
    assert [row.flipped for row in table.rows] == cell["flipped"]
    assert [row.residual_norm for row in table.rows] == cell["residual_norms"]
    assert [row.r2 for row in table.rows] == [cell["projection"]["fits"][str(layer)]["r2"] for layer in range(10)]
    layers, fit, norms = figure(table).data[:3]
    assert list(layers.y) == cell["layer_map"]["parent_of"]
    assert list(fit.y) == [row.r2 for row in table.rows]
    assert list(norms.y) == cell["residual_norms"]
    assert [symbol == "triangle-down-open" for symbol in layers.marker.symbol] == cell["flipped"]


def test_layers_without_a_parent_are_named(tmp_path):
    from fake_runs import make_study, write_cell
    from interp_xfer_analyses.questions.transfer_profile import compute, describe

    from interp_xfer.maths.layer_maps import greedy
    from interp_xfer.studies.run_store import RunStore

    store = RunStore(tmp_path)
    write_cell(store, make_study(layer_map="greedy"), strategy=greedy)
    table = compute(store)
    assert "6 of 10 child layers are steered" in describe(table)
    assert any("child layers 6, 7, 8, 9 have no parent layer" in gap for gap in table.missing)


def test_many_transfers_become_a_heat_map(small_grid):
    from interp_xfer_analyses.questions.transfer_profile import compute, figure

    table = compute(small_grid)
    (heat,) = figure(table).data
    assert heat.type == "heatmap" and len(heat.y) == 8
    first = [row.r2 for row in table.rows if row.transfer == heat.y[0]]
    assert [value for value in heat.z[0] if value is not None] == first
