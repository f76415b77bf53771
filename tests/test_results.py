"""What a notebook shows and keeps of results: one line, plain JSON, a table, a file."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, random_steering, scripted_engine

import interp_xfer
from interp_xfer.concepts.extract import extract_concept
from interp_xfer.errors import ArtifactError
from interp_xfer.evaluation.evaluate import evaluate
from interp_xfer.evaluation.search import SearchResult, search_lambda
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.measures.component_alignment import measure_alignment
from interp_xfer.tasks import contrast_pairs, get_task, load_problems, projection_texts
from interp_xfer.transfer.carry import calibrate, transfer_concept
from interp_xfer.transfer.fit import fit_projection, map_layers

GRID = (0.1, 0.2, 0.3)
# Per question, what is written at 0, .1, .2, .3: right or wrong.
SCRIPT = ["RRRR", "WRRW", "WWRR", "RWRR", "WWWW", "WWRW"]
SETTINGS = GenerationSettings(n_shots=0, max_new_tokens=3)


@pytest.fixture(scope="module")
def results(models):
    """Name -> result, of every kind."""
    parent, child = models["qwen3"], models["llama"]
    problems = load_problems("sums", "train", 80)
    pairs, held_out = contrast_pairs(problems[:16]), contrast_pairs(problems[16:24])
    concept = extract_concept(parent, pairs)
    mapping = map_layers(parent, child, pairs, strategy="cka")
    projection = fit_projection(parent, child, projection_texts(get_task("sums"), problems[24:]), mapping)
    calibration = calibrate(child, held_out)
    asked = load_problems("sums", "validation", len(SCRIPT))
    index = {problem.id: number for number, problem in enumerate(asked)}

    def write(name, strength):
        right = SCRIPT[index[name]][(0.0, *GRID).index(strength)] == "R"
        return f"The answer is {int(asked[index[name]].answer) + (not right)}."

    options = {"grid": GRID, "settings": SETTINGS, "engine": scripted_engine(child, write)}
    search = search_lambda(child, random_steering(child), asked, **options)
    return {
        "ConceptVectors": concept,
        "LayerMap": mapping,
        "ProjectionSet": projection,
        "Calibration": calibration,
        "SteeringVectors": transfer_concept(concept, projection, calibration),
        "SearchResult": search,
        "AnswerTable": search.table,
        "Evaluation": evaluate(child, random_steering(child), asked, strength=search.best, **options),
        "ComponentAlignment": measure_alignment(parent, child, concept, pairs, 16, held_out),
    }


KINDS = (
    "ConceptVectors", "LayerMap", "ProjectionSet", "Calibration", "SteeringVectors", "SearchResult", "AnswerTable",
    "Evaluation", "ComponentAlignment",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_result_is_one_short_line_and_plain_json(results, kind):
    result = results[kind]
    assert type(result) is getattr(interp_xfer, kind)
    shown = repr(result)
    assert shown.startswith(f"{kind}(") and "\n" not in shown and len(shown) < 180
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    assert len(result.to_pandas()) > 0


def test_key_numbers_of_the_lines(results):
    search, evaluation = results["SearchResult"], results["Evaluation"]
    assert repr(search) == "SearchResult(best 0.2 of 3 strengths: 5/6 right, baseline 2/6 right)"
    assert "lambda_star at 0.2: 5/6 right, +50.0 points, p = .083" in repr(evaluation)
    assert repr(evaluation.vote).startswith("Arm(vote: ") and len(repr(evaluation.baseline)) < 60
    assert repr(results["AnswerTable"]) == "AnswerTable(6 problems at 4 strengths, 0 to 0.3)"
    assert f"{N_LAYERS} of {N_LAYERS} layers, d_model {D_MODEL}" in repr(results["SteeringVectors"])
    assert "tiny/qwen3-0 -> tiny/llama-0" in repr(results["ProjectionSet"])
    cosines = results["ConceptVectors"].mean_cosine
    assert f"{cosines.min():.2f} to {cosines.max():.2f}" in repr(results["ConceptVectors"])


def test_tables_of_layers(results):
    concept, steering, mapping = (results[name] for name in ("ConceptVectors", "SteeringVectors", "LayerMap"))
    torch.testing.assert_close(torch.tensor(concept.to_pandas()["mean_cosine"].to_numpy()).float(), concept.mean_cosine)
    table = steering.to_pandas()
    assert table["parent_layer"].tolist() == list(mapping.parent_of)
    assert table["flipped"].tolist() == list(steering.flipped)
    assert table["residual_norm"].tolist() == steering.residual_norms.tolist()
    assert table["r2"].tolist() == [results["ProjectionSet"].maps[layer].diagnostics["r2"] for layer in range(N_LAYERS)]
    assert mapping.to_pandas()["score"].tolist() == list(mapping.scores)
    assert results["ProjectionSet"].to_pandas()["alpha"].tolist() == table["alpha"].tolist()
    lengths = results["Calibration"].mean_differences.norm(dim=1).tolist()
    assert results["Calibration"].to_pandas()["mean_difference"].tolist() == pytest.approx(lengths)
    raw = results["ComponentAlignment"].to_pandas().set_index(["parent_layer", "child_layer"])["raw"]
    assert len(raw) == N_LAYERS**2 and raw[2, 1] == float(results["ComponentAlignment"].raw.cosines.float()[2, 1])


def test_tables_of_answers(results):
    """Counts against the script."""
    right = [sum(script[column] == "R" for script in SCRIPT) for column in range(4)]
    table = results["SearchResult"].to_pandas()
    assert table["strength"].tolist() == [0.0, *GRID] and table["correct"].tolist() == right
    assert results["AnswerTable"].to_pandas().groupby("strength")["correct"].sum().tolist() == right
    arms = results["Evaluation"].to_pandas().set_index("arm")
    assert arms.loc["lambda_star", "correct"] == right[2]
    assert arms.loc["lambda_star", ["change_fixed", "change_broken"]].tolist() == [3, 0]
    assert arms["change_delta"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize("name", [kind for kind in KINDS if kind != "LayerMap"])
def test_what_is_saved_is_loaded(results, name, tmp_path):
    result = results[name]
    kind = type(result)
    place = result.save(tmp_path / "kept")
    found = kind.load(place)
    assert repr(found) == repr(result) and found.to_dict() == result.to_dict()
    assert found.to_pandas().equals(result.to_pandas())
    with pytest.raises(ArtifactError):
        kind.load(tmp_path / "nothing")


def test_a_saved_search_is_refused_where_it_is_changed(results, tmp_path):
    place = results["SearchResult"].save(tmp_path / "search.json")
    place.write_text(place.read_text().replace("The answer is", "The answer was", 1))
    with pytest.raises(ArtifactError, match="checksum"):
        SearchResult.load(place)


def test_files_say_not_where_problems_were_read(results, tmp_path):
    table = results["AnswerTable"]
    placed = replace(
        table, problems=tuple(replace(problem, where="/home/me/test.jsonl:3") for problem in table.problems)
    )
    assert "/home/me" not in placed.save(tmp_path / "table.json").read_text()
    assert "/home/me" not in json.dumps(placed.to_dict())
