"""lm-eval on the same tiny model under the same steering gives the same texts, likelihoods and verdicts.

Skipped without the extra, except for the message that names it.
"""

import importlib.util
import json
import sys

import pytest
from tiny_models import make_tokenizer, random_steering, tiny
from typer.testing import CliRunner

from interp_xfer.errors import ConfigError, SteeringError
from interp_xfer.evaluation.record import conditions
from interp_xfer.evaluation.settings import GenerationSettings
from interp_xfer.interop.crosscheck import Crosscheck, CrosscheckRecord, crosscheck, crosscheck_record
from interp_xfer.interop.lm_eval import require_lm_eval
from interp_xfer.steering.hooks import Steerer
from interp_xfer.tasks import Choice, Problem, get_task, load_problems

needs_lm_eval = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs the extra lm-eval")
# The harness and what it imports are not ours to keep free of warnings.
pytestmark = pytest.mark.filterwarnings("ignore")

GSM8K = tuple(
    Problem(f"gsm8k/{n}", f"Mia has {n} apples and gets 4 more.", f"{n}+4={n + 4}.", str(n + 4), task="gsm8k")
    for n in (3, 12, 5)
)
ARC = tuple(
    Problem(
        f"arc_challenge/{n}", f"Which of {n} is heavy?", None, labels[1],
        tuple(Choice(label, f"{n} marbles of {label}") for label in labels), task="arc_challenge",
    )
    for n, labels in ((1, "ABC"), (22, "1234"), (333, "ABCDE"))
)  # fmt: skip
TEXT = GenerationSettings(n_shots=0, max_new_tokens=12, system_prompt="")
CHOICE = GenerationSettings(n_shots=0, scoring="likelihood")


@needs_lm_eval
@pytest.mark.parametrize("scope", ["all", "prompt", "generated"])
@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_generation_under_steering(models, architecture, scope, monkeypatch, tmp_path):
    """Equal texts; every pass of the harness goes through our hooks; steering changes what it writes."""
    model = models[architecture]
    steering = random_steering(model)
    settings = GenerationSettings(n_shots=0, max_new_tokens=12, system_prompt="", tokens=scope)
    begun = []
    begin = Steerer.begin
    monkeypatch.setattr(Steerer, "begin", lambda self, positions: (begun.append(1), begin(self, positions))[1])
    found = crosscheck(model, GSM8K, steering, 2.0, settings=settings)
    assert found.agreement == {"text": 1.0, "strict": 1.0, "flexible": 1.0}
    assert 0 < found.steered_passes <= len(begun) and found.max_difference is None
    plain = crosscheck(model, GSM8K, steering, 0.0, settings=settings)
    assert plain.steered_passes == 0 and plain.agreement["text"] == 1.0
    assert [i["lm_eval"]["text"] for i in plain.items] != [i["lm_eval"]["text"] for i in found.items]
    assert not any(model.bridge.blocks[layer].hook_out.fwd_hooks for layer in range(model.n_layers))
    asked = conditions(model.fingerprint, steering, settings, get_task("gsm8k"))
    record = crosscheck_record(asked, 2.0, GSM8K, found)
    assert CrosscheckRecord.read(record.write(tmp_path / "x.json")) == record


@needs_lm_eval
def test_plain_text_prompts_get_bos_in_both():
    model = tiny("llama", tokenizer=make_tokenizer(chat=False))
    assert crosscheck(model, GSM8K, settings=TEXT).agreement["text"] == 1.0


@needs_lm_eval
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_neox"])
def test_likelihood_under_steering(models, architecture):
    model = models[architecture]
    found = crosscheck(model, ARC, random_steering(model), 1.0, settings=CHOICE)
    assert found.agreement == {"choice": 1.0, "acc": 1.0, "acc_norm": 1.0}
    assert found.max_difference is not None and found.max_difference < 2e-3 and found.steered_passes > 0
    assert found.ours == found.lm_eval
    plain = crosscheck(model, ARC, settings=CHOICE)
    steered_values = found.items[0]["lm_eval"]["log_likelihoods"]
    assert plain.items[0]["lm_eval"]["log_likelihoods"] != pytest.approx(steered_values, rel=1e-3)
    assert list(steered_values) == ["A", "B", "C"] and plain.steered_passes == 0


@needs_lm_eval
def test_refusals(models):
    model = models["llama"]
    with pytest.raises(SteeringError, match="needs steering vectors"):
        crosscheck(model, GSM8K, None, 0.5, settings=TEXT)
    with pytest.raises(ConfigError, match='cross-check with tokens="all"'):
        settings = GenerationSettings(n_shots=0, scoring="likelihood", tokens="prompt")
        crosscheck(model, ARC, random_steering(model), 0.5, settings=settings)
    with pytest.raises(ConfigError, match="cross-check arc_challenge by likelihood"):
        crosscheck(model, ARC, settings=TEXT)


@needs_lm_eval
def test_command(models, tmp_path, monkeypatch):
    from interp_xfer_cli.app import app

    monkeypatch.setattr("interp_xfer.models.load_model", lambda *_, **__: models["llama"])
    folder = tmp_path / "arc_challenge"
    folder.mkdir()
    rows = [
        {
            "id": f"q{n}",
            "question": f"Which of {n} is heavy?",
            "choices": {"text": ["a leaf", f"the table of {n}", "an apple"], "label": ["A", "B", "C"]},
            "answerKey": "B",
        }
        for n in range(3)
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "x.json"
    arguments = ["crosscheck", "--child", "x", "--dataset", "arc_challenge", "--data-dir", str(tmp_path), "--n", "2"]
    result = CliRunner().invoke(app, [*arguments, "--n-shots", "0", "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["n"] == 2 and record["scoring"] == "likelihood" and "acc_norm" in result.output
    assert load_problems("arc_challenge", "test", 2, tmp_path)[1].id == record["items"][1]["id"]


def test_what_is_kept(models, tmp_path):
    """The record without the harness: what it is for, both numbers, the items."""
    steering = random_steering(models["llama"])
    item = {"id": "gsm8k/3", "ours": {"text": "7", "primary": True}, "lm_eval": {"text": "7"}, "same_text": True}
    found = Crosscheck(1, {"strict": 1.0}, {"strict": 1.0}, {"text": 1.0}, None, 12, "0.4", (item,))
    asked = conditions(models["llama"].fingerprint, steering, TEXT, get_task("gsm8k"))
    record = crosscheck_record(asked, 2.0, GSM8K[:1], found)
    assert CrosscheckRecord.read(record.write(tmp_path / "x.json")) == record
    values = json.loads((tmp_path / "x.json").read_text())
    assert values["kind"] == "crosscheck" and values["items"] == [item] and values["steering"] == steering.digest
    assert values["child"]["weights"] == steering.child.weights and values["unit"] == "relative" and values["n"] == 1


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match=r"pip install 'interp-xfer\[lm-eval\]'"):
        require_lm_eval()
