"""An operator without strength is applied once: no grid of equal answers, and no vote among them."""

import json

import pytest
from tiny_models import random_steering, scripted_engine

from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import PAPER_GRID, search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.generation import SweepEngine
from interp_xfer.steering.operators import OPERATORS, has_strength, strength_grid
from interp_xfer.studies.comparison import make_comparison, plan_comparison
from interp_xfer.studies.config import Study, make_study
from interp_xfer.studies.run_store import RunStore
from interp_xfer.studies.runner import run_study
from interp_xfer.tasks import load_problems

ONCE = GenerationSettings(n_shots=0, operator="project_out")


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_table_says_which_operators_do_the_same_at_every_strength(models, operator):
    """Two passes of one model under steering, at strengths that are far apart."""
    import torch

    from interp_xfer.steering.hooks import steer

    model = models["llama"]
    logits = []
    for strength in (0.1, 3.0):
        with steer(model, random_steering(model), strength=strength, operator=operator):
            logits.append(model.hf(torch.tensor([[5, 9, 11]])).logits)
    assert torch.equal(*logits) == (not has_strength(operator))
    assert strength_grid(operator, PAPER_GRID) == ((1.0,) if not has_strength(operator) else PAPER_GRID)


def test_search_and_evaluation_run_it_once(models):
    steering, problems = random_steering(models["llama"]), load_problems("sums", "test", 3)
    engine = scripted_engine(models["llama"], lambda name, strength: "The answer is 7.")
    engine.operator = "project_out"
    found = search_lambda(models["llama"], steering, problems, settings=ONCE, engine=engine)
    assert found.best == 1.0 and found.grid == (1.0,) and engine.calls == [(0.0, 1.0)]
    result = evaluate(models["llama"], steering, problems, found.best, settings=ONCE, engine=engine)
    assert result.vote is None and [arm.name for arm in result.arms] == ["baseline", "lambda_star"]
    assert engine.calls[1:] == [(0.0, 1.0)]


def test_a_vote_over_one_strength_is_no_vote(models):
    add = GenerationSettings(n_shots=0)
    steering, problems = random_steering(models["llama"]), load_problems("sums", "test", 2)
    engine = scripted_engine(models["llama"], lambda name, strength: "The answer is 7.")
    assert evaluate(models["llama"], steering, problems, 0.5, grid=(0.5,), settings=add, engine=engine).vote is None
    assert evaluate(models["llama"], steering, problems, 0.5, grid=(0.5, 1.0), settings=add, engine=engine).vote


def test_a_study_resolves_to_one_application():
    base = {"parent": "a", "child": "b", "dataset": "sums"}
    study = make_study({**base, "operator": "project_out"})
    assert study.strengths == (1.0,) and not study.with_its
    assert make_study({**base, "operator": "project_out", "strengths": [0.1, 0.5]}) == study
    assert make_study(json.loads(study.model_dump_json())) == study
    one = make_study({**base, "strengths": [0.5]})
    assert one.strengths == (0.5,) and not one.with_its
    assert make_study(base).strengths == PAPER_GRID and make_study(base).with_its and Study(**base) == make_study(base)
    plan = plan_comparison(make_comparison({**base, "operator": "project_out", "native": False}))
    assert {cell.study.strengths for cell in plan.cells} == {(1.0,)}


def test_record_and_report_say_so(folders, tmp_path, monkeypatch):
    from interp_xfer_analyses.cells import cell_gaps, load_cells
    from interp_xfer_analyses.page.report import write_report

    study = make_study(
        {
            "parent": str(folders / "parent"), "child": str(folders / "child"), "dataset": "sums", "n_pairs": 4,
            "n_fit_texts": 6, "n_calibration": 2, "n_aligned": 0, "n_validation": 2, "n_test": 3, "n_shots": 0,
            "max_new_tokens": 2, "projection": "random-orthogonal", "operator": "project_out",
        }
    )  # fmt: skip
    run = []
    generate = SweepEngine.generate

    def counted(self, prompts, strengths, **options):
        run.extend([strength for strength in strengths for _ in prompts])
        return generate(self, prompts, strengths, **options)

    monkeypatch.setattr(SweepEngine, "generate", counted)
    store = RunStore(tmp_path / "run")
    record = run_study(study, store)
    assert sorted(run) == [0.0] * (2 + 3) + [1.0] * (2 + 3)
    assert record.test.vote is None and record.test.best_of_grid is None and record.study.strengths == (1.0,)
    (gap,) = [gap for gap in cell_gaps(load_cells(store)) if "no answer could be read" not in gap and "once" in gap]
    assert gap.startswith("project_out has no strength and is applied once")
    page = write_report(store).read_text(encoding="utf-8")
    assert "by project_out, which has no strength and is applied once" in page
    assert "λ* = 1" not in page, page[page.index("λ* = 1") - 300 :][:600]
