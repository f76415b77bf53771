"""Progress of public functions: what the caller gave, a bar in a notebook, silence elsewhere."""

import sys
from types import SimpleNamespace

import pytest
from tiny_models import random_steering, scripted_engine

from interp_xfer.concepts.extract import extract_concept
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.maths.layer_maps import proportional
from interp_xfer.passes.activations import activations
from interp_xfer.progress import in_notebook, no_progress, shown_progress
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.transfer.carry import calibrate
from interp_xfer.transfer.fit import fit_projection, map_layers


@pytest.fixture
def notebook(monkeypatch):
    """IPython as a process that runs in it has it, and the bars that were shown."""
    import tqdm.auto

    bars = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            bars.append(self)

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return bars


def test_only_a_running_ipython_counts(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    assert in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_silence_elsewhere_and_the_callers_own(notebook, monkeypatch, capsys):
    done = []
    with shown_progress(done.append, "reading", 2) as report:
        report(2)
    assert done == [2] and notebook == []
    monkeypatch.delitem(sys.modules, "IPython")
    with shown_progress(None, "reading", 2) as report:
        assert report is no_progress
    assert notebook == [] and capsys.readouterr() == ("", "")


def test_every_step_shows_one_bar_that_ends_at_its_total(models, notebook, capsys):
    parent, child = models["qwen3"], models["llama"]
    problems = load_problems("sums", "train", 40)
    pairs = contrast_pairs(problems[:12])
    texts = projection_texts(get_task("sums"), problems[12:])
    asked = load_problems("sums", "test", 3)
    options = {"settings": GenerationSettings(n_shots=0, max_new_tokens=3)}
    options["engine"] = scripted_engine(child, lambda name, strength: "The answer is 1.")
    steering = random_steering(child)
    mapping = proportional(parent.n_layers, child.n_layers)
    steps = {
        "extracting the concept": lambda: extract_concept(parent, pairs),
        "calibrating the child": lambda: calibrate(child, pairs),
        "matching layers": lambda: map_layers(parent, child, pairs),
        "fitting the maps": lambda: fit_projection(parent, child, texts, mapping),
        "reading texts": lambda: activations(child, ["a", "b c"]),
        "searching lambda": lambda: search_lambda(child, steering, asked, grid=(0.1, 0.2), **options),
        "evaluating": lambda: evaluate(child, steering, asked, strength=0.3, grid=(0.1, 0.2), **options),
    }
    for name, step in steps.items():
        notebook.clear()
        step()
        (bar,) = notebook
        assert bar.desc.startswith(name) and bar.n == bar.total > 0, name
    assert "100%" in capsys.readouterr().err


def test_maps_that_read_nothing_show_nothing(models, notebook):
    model = models["llama"]
    map_layers(model, model, strategy="greedy")
    fit_projection(model, model, [], proportional(3, 3), "identity")
    assert notebook == []
