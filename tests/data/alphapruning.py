#!/usr/bin/env python3
"""Computes the expected sparsities of AlphaPruning from its formula:

    python3 tests/data/alphapruning.py > tests/data/alphapruning.json

Formula: arXiv 2410.10912, equation 4, and `ww_sparsity` in lib/prune.py of haiquanlu/AlphaPruning (no code is copied):
r = (m - min) / (max - min) * 2 epsilon + 1 - epsilon, times S * sum(parameters) / sum(parameters * r).
`block_wise` uses the mean alpha of the seven matrices of a block, `layer_wise` the alpha of each matrix. The inputs are the
published alphas (llama_alpha_peak.json) and the shapes of the models. The arithmetic is rational; results are rounded once.
"""

import json
import pathlib
from fractions import Fraction

# Hidden size, feed-forward size, and rows of the weights of k and v, from each model's config.json.
SHAPES = {
    "llama-7b-hf": (4096, 11008, 4096),
    "llama-13b-hf": (5120, 13824, 5120),
    "llama-30b-hf": (6656, 17920, 6656),
    "llama-65b-hf": (8192, 22016, 8192),
    "llama2-7b-hf": (4096, 11008, 4096),
    "llama2-13b-hf": (5120, 13824, 5120),
    "llama2-70b-hf": (8192, 28672, 1024),
}


def ratios(scores, parameters, sparsity, epsilon):
    low, high = min(scores), max(scores)
    mapped = [(score - low) / (high - low) * 2 * epsilon + 1 - epsilon for score in scores]
    scale = sparsity * sum(parameters) / sum(p * r for p, r in zip(parameters, mapped))
    return [r * scale for r in mapped]


def main():
    folder = pathlib.Path(__file__).parent
    models = json.loads((folder / "llama_alpha_peak.json").read_text(), parse_float=Fraction)["models"]
    cases = []
    for name, (hidden, forward, key) in SHAPES.items():
        shapes = [(hidden, hidden), (key, hidden), (key, hidden), (hidden, hidden)]
        shapes += [(forward, hidden), (forward, hidden), (hidden, forward)]
        blocks = models[name]["alpha"]
        sizes = [rows * cols for rows, cols in shapes]
        # In the order of the published columns: q, k, v, o, gate, up, down.
        for mapping, epsilon, sparsity in [("block_wise", "0.3", "0.7"), ("block_wise", "0.1", "0.5"), ("layer_wise", "0.3", "0.5")]:
            if mapping == "block_wise":
                scores = [sum(block) / len(block) for block in blocks]
                parameters = [sum(sizes)] * len(blocks)
            else:
                scores = [alpha for block in blocks for alpha in block]
                parameters = sizes * len(blocks)
            found = ratios(scores, parameters, Fraction(sparsity), Fraction(epsilon))
            assert max(found) <= 1, "no ratio is clipped, so the published function and ours must agree"
            case = {"model": name, "shapes": shapes, "mapping": mapping, "epsilon": float(epsilon), "sparsity": float(sparsity)}
            cases.append(case | {"expected": [float(ratio) for ratio in found]})
    print(json.dumps({"source": "tests/data/alphapruning.py", "cases": cases}))


if __name__ == "__main__":
    main()
