"""Compares what `htsr inspect` says about the tensors of a model with the truth."""

import collections
import json
import re
import subprocess

# Kinds of faults, in the order of the table.
KINDS = ["merge", "split", "number", "missing", "extra", "head", "role", "reason"]

# What the reason of a skipped tensor must contain, by the kind of the tensor.
REASONS = {"router": "router|one-dimensional|bias|outside", "head": "head|outside|embedding|one-dimensional|bias|dimension"}
# Reasons that are true for a projection of three dimensions, or for experts in the rows of one matrix.
STACKED = re.compile(r"dimension|stack|expert")


class Verdict:
    """What is wrong with one model: (kind, sentence with names of tensors); or why htsr refused it."""

    def __init__(self):
        self.faults = []
        self.refused = None
        self.scored = self.layers = 0

    def add(self, kind, sentence):
        self.faults.append((kind, sentence))

    def counts(self):
        return collections.Counter(kind for kind, _ in self.faults)


def inspect(binary, folder):
    """The answer of `htsr inspect` as an object, or the message with which it refuses."""
    command = [binary, "inspect", str(folder), "--by", "tensor", "--format", "json", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if result.returncode not in (0, 4):
        return None, f"exit {result.returncode}: {result.stderr.strip()}"
    return json.loads(result.stdout), result.stderr.strip()


def compare(binary, folder, truth):
    verdict = Verdict()
    answer, message = inspect(binary, folder)
    if answer is None:
        verdict.refused = message
        return verdict
    matrices = [Matrix(entry, truth["tensors"]) for entry in answer["matrices"]]
    verdict.scored = len(matrices)
    verdict.layers = answer["layers"]
    compare_matrices(verdict, matrices, {entry["tensor"]: entry["reason"] for entry in answer["skipped"]}, truth["tensors"])
    compare_layers(verdict, matrices, truth["stacks"])
    compare_roles(verdict, matrices)
    return verdict


class Matrix:
    """A matrix that htsr scores, with the truth about its tensor."""

    def __init__(self, entry, tensors):
        self.name = entry["tensor"]
        self.tensor = re.sub(r"\[\d+\]$", "", self.name)
        self.stack, self.layer, self.role = entry["stack"], entry["layer"], entry["role"]
        self.rows, self.cols = entry["rows"], entry["cols"]
        self.truth = tensors.get(self.tensor) or {"kind": "unknown", "expect": "skipped", "layers": [], "shape": [], "from": []}
        self.places = [(place["list"], place["index"]) for place in self.truth["layers"]]


def compare_matrices(verdict, matrices, skipped, tensors):
    """Which tensors are scored, and why others are not."""
    by_tensor = collections.defaultdict(list)
    for matrix in matrices:
        by_tensor[matrix.tensor].append(matrix)
    for name, truth in tensors.items():
        scored, reason = by_tensor.get(name, []), skipped.get(name, "not mentioned")
        described = f"`{name}` {truth['shape']}"
        if truth["expect"] == "scored" and not scored:
            if not (len(truth["shape"]) > 2 and STACKED.search(reason)):
                verdict.add("missing", f"{described} is a projection, skipped as {reason}")
        elif truth["expect"] != "skipped" and scored and not well_sliced(truth, scored):
            verdict.add("extra", f"{described} is scored as {len(scored)} matrices, which it does not hold")
        elif truth["expect"] == "skipped" and scored:
            kind = "head" if truth["kind"] == "head" else "extra"
            verdict.add(kind, f"{described} is scored ({scored[0].stack}, layer {scored[0].layer}, {scored[0].role}): {truth['kind']}")
        elif truth["kind"] == "rows" and not scored and "expert" not in reason:
            verdict.add("reason", f"{described} has the experts in its rows, skipped as {reason}")
        elif not scored and truth["kind"] in REASONS and len(truth["shape"]) > 1 and not re.search(REASONS[truth["kind"]], reason):
            verdict.add("reason", f"{described} is a {truth['kind']}, skipped as {reason}")
    for name in set(by_tensor) - set(tensors):
        verdict.add("extra", f"`{name}` is not in the files")


def well_sliced(truth, scored):
    """True if the tensor is scored as the matrices that it holds."""
    shapes = [[len(scored), *shape] for shape in {(matrix.rows, matrix.cols) for matrix in scored}]
    return len(shapes) == 1 and shapes[0] in truth["matrices"]


def compare_layers(verdict, matrices, stacks):
    """Tensors are in one layer of htsr exactly if they are in one layer of the module tree."""
    groups = collections.defaultdict(list)
    for matrix in matrices:
        groups[matrix.stack, matrix.layer].append(matrix)
    for (stack, layer), members in groups.items():
        first = next((m for m in members if certain(m)), None)
        if first is None:
            continue
        for other in members:
            if not same_layer(first, other, stacks):
                verdict.add("merge", f"layer {layer} of stack `{stack}` has `{first.name}` and `{other.name}`")
    compare_splits(verdict, matrices)


def compare_splits(verdict, matrices):
    layers, lists = {}, {}
    for matrix in filter(certain, matrices):
        if len(matrix.places) > 1:  # Shared by several layers, stored once.
            continue
        place = matrix.places[0]
        ours = (matrix.stack, matrix.layer)
        known = layers.setdefault(place, (ours, matrix.name))
        if known[0] != ours:
            verdict.add("split", f"layer {place[1]} of `{place[0]}`: `{known[1]}` is in {known[0]}, `{matrix.name}` in {ours}")
        elif lists.setdefault(place[0], (matrix.stack, matrix.name))[0] != matrix.stack:
            stack, first = lists[place[0]]
            verdict.add("split", f"list `{place[0]}`: `{first}` is in stack `{stack}`, `{matrix.name}` in `{matrix.stack}`")
        elif matrix.layer != place[1]:
            verdict.add("number", f"`{matrix.name}` is in layer {matrix.layer}, not {place[1]}")


def certain(matrix):
    return any(place["kind"] == "block" for place in matrix.truth["layers"])


def same_layer(first, other, stacks):
    """True if two tensors may be in one layer. Lists side by side are two halves of the same layers (XLM)."""
    if not other.places:
        return False
    return any(
        one[0] == two[0] and one[1] == two[1] or one[1] == two[1] and parallel(one[0], two[0], stacks)
        for one in first.places
        for two in other.places
    )


def parallel(one, two, stacks):
    return parent(one) == parent(two) and stacks[one]["layers"] == stacks[two]["layers"]


def parent(path):
    return path.rpartition(".")[0]


def compare_roles(verdict, matrices):
    """Two projections of a layer have different roles, if they are not the same projection of two experts."""
    roles = {}
    for matrix in matrices:
        known = roles.setdefault((matrix.stack, matrix.layer, matrix.role), matrix)
        if without_experts(known) != without_experts(matrix):
            verdict.add("role", f"`{known.name}` and `{matrix.name}` are both `{matrix.role}` (stack `{matrix.stack}`)")


def without_experts(matrix):
    """The name without the number of the expert."""
    return re.sub(r"(experts?\w*)[._](expert_)?\d+", r"\1.#", matrix.tensor)
