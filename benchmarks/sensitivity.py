"""What the gradient along all layers costs: in forward passes of a question, and against the teacher-forced sweep.

    python benchmarks/sensitivity.py [--dataset sums] [--questions 8] [--sweep-strengths 1]

Work: validation questions, the task's five examples, gold solution teacher forced, SmolLM2-135M-Instruct, random unit
vectors at every layer, scope `all`. Arms, one after another in one process:

- forward: one unsteered pass over each whole row, answer positions unembedded, without a graph;
- gradient: `answer_gradients`, every layer, and the inner products of 42 candidate directions;
- sweep: `sweep_windows`, every single layer, at a stated number of strengths, scaled to the 19 of the paper (its
  cost is linear in strengths, but for the unsteered passes, which are not scaled).

Prints JSON: wall and processor seconds of each arm, forward equivalents a question (<= 4 wanted) and how many times
cheaper than the sweep the gradient is (>= 20 wanted), both by processor seconds, which other programs disturb less.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from interp_xfer import PAPER_GRID, GenerationSettings, SteeringVectors, get_task, load_model, load_problems
from interp_xfer.evaluation.gold_answers import gold_rows
from interp_xfer.likelihood.gradients import answer_gradients, directional_derivatives
from interp_xfer.likelihood.layer_sweep import single_layers, sweep_windows
from interp_xfer.maths.layer_maps import proportional
from interp_xfer.maths.random_directions import random_isotropic
from interp_xfer.models import LoadedModel
from interp_xfer.passes.activations import quick_attention
from interp_xfer.passes.teacher_forcing import TargetRow, row_batch, shared_length, target_log_probabilities
from interp_xfer.steering.origins import ConceptOrigin, ProjectionOrigin
from interp_xfer.tasks.prompt_hashes import PromptHashes

MODEL = "bundled:smollm2-135m-instruct"
CANDIDATES = 42


def random_vectors(model: LoadedModel, norm: float = 200.0) -> SteeringVectors:
    """Random unit vectors at every layer: the cost of steering does not depend on the direction."""
    n = model.n_layers
    return SteeringVectors(
        random_isotropic(1, n, model.d_model)[0].float(), torch.full((n,), norm), proportional(n, n),
        model.fingerprint, model.fingerprint, (False,) * n, ConceptOrigin(kind="random"),
        ProjectionOrigin(kind="none"), PromptHashes(),
    )  # fmt: skip


@torch.inference_mode()
def forward(model: LoadedModel, rows: Sequence[TargetRow]) -> list[float]:
    """Log p of each gold answer by one pass over its whole row."""
    out = []
    with quick_attention(model):
        for row in rows:
            batch = row_batch(model, [row])
            states = model.hf.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
            chosen = states[batch.predicting[:, 0], batch.predicting[:, 1]]
            out += batch.per_row(target_log_probabilities(model, chosen, batch.targets, normed=True)).tolist()
    return out


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of a call, and its wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, {
        "wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - processor, 3)
    }  # fmt: skip


def main() -> None:
    """Run the arms and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="sums")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--sweep-strengths", type=int, default=1, help="strengths that the sweep runs")
    arguments = parser.parse_args()

    model = load_model(MODEL)
    task = get_task(arguments.dataset)
    problems = load_problems(task, "validation", arguments.questions, arguments.data_dir)
    rows = gold_rows(model, task, problems, GenerationSettings())
    steering = random_vectors(model)
    candidates = random_isotropic(CANDIDATES, model.n_layers, model.d_model)
    strengths = PAPER_GRID[-arguments.sweep_strengths :]

    def gradient() -> torch.Tensor:
        found = answer_gradients(model, rows)
        directional_derivatives(found.gradients, candidates)
        return found.log_p

    forward(model, rows[:1])
    answer_gradients(model, rows[:1])
    plain, forward_time = timed(lambda: forward(model, rows))
    log_p, gradient_time = timed(gradient)
    sweep, sweep_time = timed(lambda: sweep_windows(model, steering, rows, single_layers(steering), strengths))
    _, unsteered_time = timed(lambda: sweep_windows(model, steering, rows, single_layers(steering)[-1:], [0.0]))
    scaled = (sweep_time["cpu_s"] - unsteered_time["cpu_s"]) * len(PAPER_GRID) / len(strengths)
    result = {
        "work": {
            "dataset": arguments.dataset, "questions": len(rows), "layers": model.n_layers,
            "candidates": CANDIDATES, "tokens": [len(row.ids) for row in rows], "shared_tokens": shared_length(rows),
            "threads": torch.get_num_threads(), "sweep_strengths": list(strengths),
        },
        "forward": forward_time,
        "gradient": gradient_time,
        "sweep": sweep_time,
        "sweep_unsteered_part": unsteered_time,
        "gradient_in_forward_passes": round(gradient_time["cpu_s"] / forward_time["cpu_s"], 2),
        "sweep_cpu_s_scaled_to_19_strengths": round(scaled + unsteered_time["cpu_s"], 1),
        "sweep_over_gradient": round((scaled + unsteered_time["cpu_s"]) / gradient_time["cpu_s"], 1),
        "largest_difference_of_log_p": max(
            float((torch.tensor(plain).double() - found).abs().max()) for found in (log_p, sweep.unsteered)
        ),
    }  # fmt: skip
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
