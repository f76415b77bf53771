"""A layer study on tiny models: slices, artifact, and a pair of models where everything must transfer."""

import pytest
import torch

SMALL = {"n_pairs": 24, "n_calibration": 8, "n_fit_texts": 24, "n_held_out": 16, "n_random": 4}
FAST = {"n_permutations": 19, "n_bootstrap": 3}


@pytest.fixture
def study():
    from interp_xfer.studies.layer_study import make_layer_study

    return make_layer_study({"parent": "tiny/a", "child": "tiny/b", "dataset": "sums", **SMALL, **FAST})


@pytest.fixture
def loaded(monkeypatch, models):
    """`load_model` hands out two tiny models by reference, and counts."""
    from tiny_models import rotated_llamas

    from interp_xfer.studies import layer_study

    parent, child, _ = rotated_llamas()
    calls = []

    def load(reference, **options):
        calls.append(reference)
        return {"tiny/a": parent, "tiny/b": child}[reference]

    monkeypatch.setattr(layer_study, "load_model", load)
    monkeypatch.setattr(layer_study, "model_identity", lambda reference: {"tiny/a": "a", "tiny/b": "b"}[reference] * 16)
    return calls


def test_slices_are_disjoint_and_of_train(study):
    from interp_xfer.errors import DataError
    from interp_xfer.studies.layer_study import load_slices, make_layer_study

    slices = load_slices(study)
    assert [len(part) for part in (slices.concept, slices.calibration, slices.texts, slices.held_out)] == [
        24,
        8,
        24,
        16,
    ]
    ids = [i for pair in (*slices.concept, *slices.calibration, *slices.held_out) for i in pair.problem_ids]
    ids += [text.id for text in slices.texts]
    assert len(set(ids)) == len(ids) == 72
    with pytest.raises(DataError, match="no file /nowhere"):
        load_slices(make_layer_study({**study.model_dump(), "dataset": "gsm8k", "data_dir": "/nowhere"}))


def test_settings_are_checked():
    from interp_xfer.errors import ConfigError
    from interp_xfer.studies.layer_study import make_layer_study

    with pytest.raises(ConfigError, match="n_random: Input should be greater than or equal to 1, not 0; layers: Extra"):
        make_layer_study({"parent": "a", "child": "b", "dataset": "sums", "n_random": 0, "layers": 3})


def test_a_rotated_copy_receives_the_concept(study, loaded, tmp_path):
    """The child is the parent in another basis: CKA, map, fit and readout must say so; copied coordinates must not."""
    from interp_xfer.studies.layer_study import load_layer_study, run_layer_study

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept.txt").write_text("mine")
    made = run_layer_study(study, tmp_path / "run")
    assert (tmp_path / "run" / "kept.txt").exists()
    record, tensors = load_layer_study(made)
    n = tensors["cka_raw"].shape[0]
    for name in ("cka_raw", "cka_differences"):
        torch.testing.assert_close(tensors[name].diagonal(), torch.ones(n).double(), atol=1e-4, rtol=0)
    assert record.maps["cka"].parent_of == tuple(range(n))
    for fits in record.fits.values():
        for fit in fits.values():
            assert fit["r2"] > 0.99 and fit["r2_along"] > 0.99 and fit["shuffled_r2"] < 0.05
    for cosine in record.cosine_with_native["transferred-cka"]:
        assert cosine > 0.95
    for transferred, native in zip(record.readout["transferred-cka"], record.readout["native"], strict=True):
        assert transferred.auroc.estimate == pytest.approx(native.auroc.estimate, abs=0.05)
        assert transferred.n_pairs == 16
    matrix = tensors["auroc_matrix"]
    for layer, entry in enumerate(record.readout["transferred-proportional"]):
        assert float(matrix[layer, layer]) == pytest.approx(entry.auroc.estimate, abs=0.02)
    assert {len(rows) for rows in record.draws.values()} == {n}
    kinds = ("random-isotropic", "random-covariance", "shuffled-labels", "shuffled-pairs", "wrong-layer", "wrong-map")
    assert set(record.draws) == set(record.draw_summary) == set(record.rank_p["native"]) == set(kinds)
    for kind in kinds:
        summary, difference = (
            record.draw_summary[kind],
            record.difference_from[f"transferred-proportional minus {kind}"],
        )
        assert summary.n == len(summary.n_flipped) == 4 and max(summary.n_flipped) <= n
        assert summary.lowest <= summary.auroc.estimate <= summary.highest
        assert summary.auroc.low < summary.auroc.estimate < summary.auroc.high or summary.auroc.high == 1
        real = record.summary["transferred-proportional"].auroc.estimate
        assert difference.estimate == pytest.approx(real - summary.auroc.estimate)
        layers = [row.auroc.estimate for row in record.draws[kind]]
        assert sum(layers) / n == pytest.approx(summary.auroc.estimate)
    assert tensors["flipped_matrix"].dtype == torch.bool and record.pairs.held_out == 16
    # Again: nothing is loaded.
    assert loaded == ["tiny/a", "tiny/b"]
    assert run_layer_study(study, tmp_path / "run") == made and len(loaded) == 2


def test_figures_of_a_study(study, loaded, tmp_path):
    import json

    from interp_xfer_analyses.layer_figures import FIGURES, write_layer_figures
    from interp_xfer_analyses.questions.layer_records import load_layer_record

    from interp_xfer.studies.layer_study import run_layer_study
    from interp_xfer.studies.run_store import RunStore

    made = run_layer_study(study, tmp_path)
    written = write_layer_figures(made, tmp_path / "figures").files
    assert [path.suffix for path in written] == [".json", ".html"] * 2
    table = json.loads(written[0].read_text())
    assert len(table["rows"]) == 9 and len(table["maps"]) == 9 and table["missing"] == []
    record = load_layer_record(made)
    for module in FIGURES.values():
        content = module.from_records((record,))
        assert content == module.compute(RunStore(tmp_path))
        assert len(module.figure(content).data) > 8 and module.describe(content).startswith("plain → rotated, sums")
        empty = module.compute(RunStore(tmp_path / "nothing"))
        assert empty.rows == () and "run interp-xfer layers" in empty.missing[0]
        assert module.figure(empty).layout.height == 160 and module.describe(empty).endswith(".")
