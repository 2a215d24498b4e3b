"""The truth about the tensors of a saved model, from the live module tree.

A stored tensor is matched with the parameters that its elements come from, by content: `save_pretrained` renames tensors, splits
stacked experts and joins others. No rule of htsr is used here.
"""

import dataclasses
import hashlib
import json
import re

import numpy
from safetensors import safe_open

import layers
import roles
import shrink

# All kinds of parameters. The first of two counts for a parameter that two modules share.
KINDS = ["embedding", "head", "norm", "router", "table", "bias", "vector", "buffer", "kernel", "pointwise", "position", "mixing", "rows",
         "projection"]
# Kinds that are projection matrices, and kinds that may be scored or not: "pointwise" (kernels of one element, linear layers that
# compute the scale of a norm), "position" (linear layers that compute biases from distances), "mixing" (a few coefficients).
SCORED, EITHER = {"projection"}, {"pointwise", "position", "mixing"}
# A projection of three dimensions with at most this many slices has one for each expert: the tiny models have so few.
MOST_EXPERTS = 8
# Modules that are heads, by class and by name.
HEAD_CLASS = re.compile(
    r"((?<!MLP)PredictionHead\w*|ClassificationHead|LMHead\w*|OnlyMLMHead|PreTrainingHeads?|Classifier|QAHead|Pooler)$"
)
HEAD_NAME = re.compile(
    r"(?![qkvo]_).*_heads?|.*class_embed|.*bbox_embed|bbox_predictor|class_predictor|class_labels_classifier|classifier|score|qa_outputs|"
    r"mask_embed|objectness_\w+|pooler"
)


@dataclasses.dataclass
class Parameter:
    """A live parameter: its kind, and all layers whose modules hold it (several if layers share it)."""

    name: str
    kind: str
    places: list
    values: numpy.ndarray


def of_model(model, folder):
    """The truth about each tensor of the saved model, by its stored name, and the stacks of the model."""
    live = parameters(model)
    sources = Sources(live)
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "np") as stored:
            for name in stored.keys():
                tensors[name] = describe(name, stored.get_tensor(name), sources)
    return {"stacks": stacks(tensors), "tensors": tensors}


def parameters(model):
    """All live parameters and buffers by name, with what the module tree says about them."""
    found_layers = layers.find(model)
    heads = head_paths(model)
    result, by_identity = {}, {}
    modules = dict(model.named_modules(remove_duplicate=False))
    for path, module in modules.items():
        parents = [modules[part] for part in layers.prefixes(path)]
        place = layers.of_path(path, found_layers)
        head = any(part in heads for part in layers.prefixes(path))
        own = [(name, value, False) for name, value in module.named_parameters(recurse=False)]
        own += [(name, value, True) for name, value in module.named_buffers(recurse=False)]
        for name, value, buffer in own:
            kind = "buffer" if buffer else roles.of_parameter(module, name, value, path, parents)
            if head and kind in SCORED | EITHER | {"kernel"}:
                kind = "head"
            full = f"{path}.{name}".lstrip(".")
            key = (value.data_ptr(), tuple(value.shape), tuple(value.stride())) if value.numel() else full
            if key in by_identity:
                merge(by_identity[key], kind, place)
            else:
                by_identity[key] = Parameter(full, kind, [place], value.detach().numpy())
            result[full] = by_identity[key]
    return result


def merge(parameter, kind, place):
    """A parameter that two modules share: a head that is tied to an embedding is an embedding."""
    if place not in parameter.places:
        parameter.places.append(place)
    parameter.kind = min(parameter.kind, kind, key=KINDS.index)


def head_paths(model):
    """The paths of modules that are heads: what surrounds the base model, and the modules whose class or name says so."""
    from transformers import PreTrainedModel

    heads = set()
    for path, module in model.named_modules(remove_duplicate=False):
        attribute = path.rsplit(".", 1)[-1]
        if path and (HEAD_CLASS.search(type(module).__name__) or HEAD_NAME.fullmatch(attribute)) and not holds_blocks(module):
            heads.add(path)
        if not isinstance(module, PreTrainedModel):
            continue
        base = getattr(module, "base_model_prefix", "")
        if base and base in dict(module.named_children()):
            for name, child in module.named_children():
                if name != base and not isinstance(child, PreTrainedModel) and not holds_blocks(child):
                    heads.add(f"{path}.{name}".lstrip("."))
        output = module.get_output_embeddings() if hasattr(module, "get_output_embeddings") else None
        if output is not None:
            heads |= {inner for inner, other in model.named_modules(remove_duplicate=False) if other is output}
    return heads


def holds_blocks(module):
    return any(layer.kind == "block" for layer in layers.find(module).values())


class Sources:
    """Finds the live parameters that the elements of a stored tensor come from."""

    def __init__(self, live):
        unique = list({id(parameter): parameter for parameter in live.values()}.values())
        self.whole = {}
        for parameter in unique:
            self.whole.setdefault(contents(parameter.values), []).append(parameter)
        self.unique = [p for p in unique if p.values.dtype.kind == "f" and p.values.size]
        self.index = None

    def of(self, name, values):
        """The parameters that hold at least a twentieth of the elements; those of the same name first, if several are equal."""
        same = self.whole.get(contents(values))
        if same:
            return [next((parameter for parameter in same if parameter.name == name), same[0])]
        return self.by_elements(values) if values.dtype.kind == "f" else []

    def by_elements(self, values):
        if self.index is None:
            owner = numpy.repeat(numpy.arange(len(self.unique)), [p.values.size for p in self.unique])
            elements = numpy.concatenate([p.values.astype("f4").ravel() for p in self.unique]) if self.unique else numpy.zeros(0, "f4")
            order = numpy.argsort(elements, kind="stable")
            self.index = elements[order], owner[order]
        elements, owner = self.index
        if not elements.size or not values.size:
            return []
        wanted = values.astype("f4").ravel()
        wanted = wanted[:: max(1, wanted.size // 4096)]
        at = numpy.minimum(numpy.searchsorted(elements, wanted), elements.size - 1)
        found = owner[at][elements[at] == wanted]
        counts = numpy.bincount(found, minlength=len(self.unique))
        enough = max(min(2, wanted.size), wanted.size / 20)  # Single elements are equal by chance.
        return [self.unique[number] for number in numpy.nonzero(counts >= enough)[0]]


def contents(values):
    """A key of shape, type and elements."""
    return values.shape, values.dtype.str, hashlib.sha256(values.tobytes()).digest()


def describe(name, values, sources):
    """What the truth says about one stored tensor."""
    found = sources.of(name, values)
    kinds = sorted({parameter.kind for parameter in found}) or ["buffer"]
    kind = "projection" if "projection" in kinds else kinds[0]
    places = {place for parameter in found for place in parameter.places if place is not None}
    return {
        "shape": list(values.shape),
        "kind": kind,
        "expect": expectation(kind, values, places),
        "matrices": shapes_of_matrices(kind, values),
        "layers": [dataclasses.asdict(place) for place in sorted(places, key=lambda place: (place.list, place.index))],
        "from": [parameter.name for parameter in found],
    }


def shapes_of_matrices(kind, values):
    """The matrices that a stored projection may be scored as: (number, rows, columns)."""
    shape = values.shape
    if kind == "rows":
        return [[shrink.EXPERTS, shape[0] // shrink.EXPERTS, shape[1]]]
    if values.ndim == 3 and shape[0] <= MOST_EXPERTS:
        return [list(shape)]
    if values.ndim == 3:  # The heads are a dimension of their own.
        return [[1, shape[0] * shape[1], shape[2]], [1, shape[0], shape[1] * shape[2]]]
    return [[1, *shape]]


def expectation(kind, values, places):
    """"scored", "skipped", or "either" where no rule can say it: outside the stacks, kernels of one element, single rows."""
    if kind == "rows":
        return "either"
    if kind in SCORED:
        narrow = values.ndim >= 2 and min(values.shape[-2:]) < 2
        certain = any(place.kind == "block" for place in places)
        return "scored" if certain and not narrow else "either"
    return "either" if kind in EITHER else "skipped"


def stacks(tensors):
    """The lists of layers: how many layers each has, and of which kind it is."""
    result = {}
    for tensor in tensors.values():
        for place in tensor["layers"]:
            entry = result.setdefault(place["list"], {"kind": place["kind"], "layers": set()})
            entry["layers"].add(place["index"])
    return {path: {"kind": entry["kind"], "layers": sorted(entry["layers"])} for path, entry in sorted(result.items())}


def write(truth, file):
    file.write_text(json.dumps(truth, indent=1) + "\n")
