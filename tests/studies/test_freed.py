"""What is not needed any more is not in memory: models that were freed, and what errors kept as results passed by."""

import gc
import weakref
from dataclasses import replace

import pytest

from interp_xfer.errors import ShapeError, as_value
from interp_xfer.maths.layer_map_kinds import LAYER_MAPS
from interp_xfer.maths.layer_maps import proportional
from interp_xfer.maths.linear_map_kinds import LINEAR_MAPS
from interp_xfer.studies import cells, study_models, transfers
from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.config import make_study
from interp_xfer.studies.identity import read_contents, study_keys
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_plan, run_study
from interp_xfer.studies.steps import silent_step
from interp_xfer.studies.study_data import load_data
from interp_xfer.studies.study_models import StudyModels
from interp_xfer.transfer.corpus import PairedCorpus
from interp_xfer.transfer.fit import fit_each


@pytest.fixture(scope="module")
def settings(folders):
    return {
        "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "sums", "n_pairs": 8,
        "n_fit_texts": 6, "n_calibration": 4, "n_aligned": 4, "n_validation": 1, "n_test": 1, "n_shots": 0,
        "max_new_tokens": 2, "strengths": [1.0], "with_its": False, "dtype": "float32",
    }  # fmt: skip


@pytest.fixture
def loaded(monkeypatch):
    """Reference -> whether its model is still in memory; no collection happens by itself meanwhile."""
    alive = {}
    load_model = study_models.load_model

    def watched(reference, **options):
        model = load_model(reference, **options)
        alive[reference] = weakref.ref(model.hf)
        return model

    monkeypatch.setattr(study_models, "load_model", watched)
    gc.collect()
    gc.disable()
    yield alive
    gc.enable()


def test_a_freed_model_is_gone_at_once(settings, loaded):
    study = make_study(settings)
    models = StudyModels(study, silent_step)
    for reference in (study.parent, study.child):
        models.get(reference)
    models.keep(study.child)
    assert loaded[study.parent]() is None and loaded[study.child]() is models.get(study.child).hf
    models.keep()
    assert loaded[study.child]() is None


@pytest.mark.parametrize("verb", ["run", "compare"])
def test_the_parent_is_gone_while_the_child_answers(settings, loaded, tmp_path, monkeypatch, verb):
    in_memory = []
    make_engine = cells.make_engine

    def watched(*arguments):
        in_memory.append({reference.rpartition("/")[2] for reference, model in loaded.items() if model() is not None})
        return make_engine(*arguments)

    monkeypatch.setattr(cells, "make_engine", watched)
    if verb == "run":
        run_study(make_study(settings), RunStore(tmp_path))
    else:
        lists = {"layer_maps": ["greedy"], "projections": ["ridge", "identity"], "units": ["relative"], "native": False}
        outcomes = run_plan(plan_comparison(make_comparison({**settings, **lists})), RunStore(tmp_path))
        assert [outcome.status for outcome in outcomes] == ["made", "failed"]
    assert in_memory == [{"child"}]


def test_errors_kept_as_results_hold_no_model(settings, loaded, tmp_path, monkeypatch):
    """A layer map that fails, a projection that cannot be, a fit that fails: the cells' errors outlive the models."""
    base = make_study(settings)
    studies = [base.model_copy(update=u) for u in ({"layer_map": "cka"}, {"projection": "identity"}, {"n_aligned": 0})]

    def broken(*_, **__):
        raise ShapeError("too few")

    monkeypatch.setitem(LAYER_MAPS._entries, "cka", replace(LAYER_MAPS["cka"], choose=broken))
    monkeypatch.setitem(LINEAR_MAPS._entries, "ridge", replace(LINEAR_MAPS["ridge"], fit=broken))
    models, data = StudyModels(base, silent_step), load_data(base)
    keyed = [(study, study_keys(study, read_contents(study, data))) for study in studies]
    failed = transfers.make_transfers(keyed, data, models, RunStore(tmp_path)).failed
    assert len(failed) == 3
    assert all(error.__traceback__ is None and "raised at" in error.__notes__[0] for error in failed.values())
    models.keep()
    assert not [reference for reference, model in loaded.items() if model() is not None]


def test_a_fit_that_fails_frees_its_sums(settings, loaded, monkeypatch):
    """Both where rows cannot be read and where a map cannot be fitted; the error says where it was raised."""
    import interp_xfer.transfer.fit as model_maps

    study = make_study(settings)
    models, data = StudyModels(study, silent_step), load_data(study)
    corpus = PairedCorpus(models.get(study.parent), models.get(study.child), data.fit_texts)
    sums = []

    def broken(given, *_):
        sums.append(weakref.ref(given))
        raise ShapeError("cannot be fitted")

    monkeypatch.setitem(LINEAR_MAPS._entries, "procrustes", replace(LINEAR_MAPS["procrustes"], fit=broken))
    made = list(fit_each(corpus, {"procrustes": set(proportional(3, 3).pairs)}))
    assert len(made) == len(sums) == 3 and all(isinstance(one.projection, ShapeError) for one in made)
    assert not any(reference() for reference in sums)

    def unreadable(*_, **__):
        raise ShapeError("cannot be read")

    monkeypatch.setattr(model_maps, "stream_sums", unreadable)
    made = list(fit_each(corpus, {"ridge": {(0, 0), (1, 1)}}))
    assert [str(one.projection) for one in made] == ["cannot be read"] * 2
    assert all(one.projection.__traceback__ is None for one in made)


def test_an_error_as_value_says_where_it_was_raised():
    try:
        try:
            raise KeyError("a")
        except KeyError as inner:
            raise ShapeError("b") from inner
    except ShapeError as error:
        kept = as_value(error)
    assert kept.__traceback__ is kept.__context__ is kept.__cause__ is None and str(kept) == "b"
    assert "test_freed.py" in kept.__notes__[0] and as_value(kept) is kept and len(kept.__notes__) == 1
