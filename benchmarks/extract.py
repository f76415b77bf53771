"""What extraction costs: ours against the way representation-engineering code does it.

    python benchmarks/extract.py [--pairs 32]

Both read the residual stream of every layer at the last token of the same texts (the bundled child, `sums` pairs).

- ours: hooks keep the last position of each layer, stock attention, no unembedding, texts of similar length together;
- all positions: `output_hidden_states=True` on every position of every layer, batches of 8, unembedding included, the
  last token picked afterwards (and the last layer read after the final norm).

Prints JSON: seconds, and the largest difference on the layers where both read the same thing.
"""

import argparse
import json
import sys
import time

import torch

from interp_xfer import contrast_pairs, load_model, load_problems
from interp_xfer.passes.activations import last_token_activations
from interp_xfer.tasks import render_pair


@torch.inference_mode()
def main() -> None:
    """Run both and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=32)
    arguments = parser.parse_args()
    model = load_model("bundled:smollm2-135m-instruct")
    pairs = contrast_pairs(load_problems("sums", "train", arguments.pairs))
    texts = [member for pair in pairs for member in render_pair(model.tokenizer, pair)]
    last_token_activations(model, texts[:4], add_special_tokens=False)
    start = time.perf_counter()
    ours = last_token_activations(model, texts, add_special_tokens=False)
    ours_s = time.perf_counter() - start
    start = time.perf_counter()
    rows = []
    for i in range(0, len(texts), 8):
        states = model.hf(**model.encode(texts[i : i + 8]), output_hidden_states=True).hidden_states
        rows.append(torch.stack([state[:, -1] for state in states[1:]]))
    theirs = torch.cat(rows, dim=1)
    theirs_s = time.perf_counter() - start
    difference = (ours[:-1] - theirs[:-1]).norm(dim=-1) / theirs[:-1].norm(dim=-1)
    json.dump(
        {
            "texts": len(texts),
            "threads": torch.get_num_threads(),
            "seconds_ours": round(ours_s, 2),
            "seconds_all_positions": round(theirs_s, 2),
            "times_faster": round(theirs_s / ours_s, 1),
            "largest_relative_difference": float(difference.max()),
        },
        sys.stdout,
        indent=1,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
