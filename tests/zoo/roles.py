"""What a parameter of a module is: a projection matrix, an embedding, a router ...: from the module that holds it and its code."""

import inspect
import re

from torch import nn
from transformers.pytorch_utils import Conv1D

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)

# Modules that choose experts, and modules of tables.
ROUTER = re.compile(r"Router|TopKGat|TopkGat|(MoEGate|MoeGate)$")
GATE = re.compile(r"(Gate|Gating)$")
ROUTER_NAME = re.compile(r"(router|gate|wg|shared_expert_gate|gating)$")
# Linear layers that compute biases from distances.
POSITION_NAME = re.compile(r"rel_?pos|relative_?pos|pos_bias|position_bias", re.IGNORECASE)

# Modules whose small matrices mix copies of the hidden state.
MIXING = re.compile(r"AltUp|HyperConnection")

# Functions that multiply by a matrix. `self.NAME` among their arguments is a projection.
PRODUCT = r"(linear|matmul|bmm|einsum|grouped_mm|baddbmm|addmm|mm|linear_func|_apply_linear|batched_linear|conv1d)\([^\n]*self\.{0}\b"
OPERATOR = r"(@\s*\(?self\.{0}\b|self\.{0}\b(\[[^\]]*\])?[^\n,]*\s@\s)"


def is_matrix(module):
    """True for a module whose own parameters are a projection matrix or a kernel."""
    if isinstance(module, (nn.Linear, Conv1D, nn.Bilinear, nn.MultiheadAttention, *CONVOLUTIONS, *RECURRENT)):
        return True
    own = dict(module.named_parameters(recurse=False))
    return any(parameter.dim() >= 2 and multiplies(module, name) for name, parameter in own.items())


def is_norm(module):
    return "Norm" in type(module).__name__


def multiplies(module, name):
    """True if the code of the module's class uses this parameter of its own as a factor of a matrix product."""
    if isinstance(module, nn.Embedding) or is_norm(module):
        return False
    source = source_of(type(module))
    return bool(re.search(PRODUCT.format(re.escape(name)), source) or re.search(OPERATOR.format(re.escape(name)), source))


SOURCES = {}


def source_of(kind):
    """The source of the class and of its parents in transformers, with the arguments of a call on one line."""
    if kind not in SOURCES:
        text = ""
        for parent in kind.__mro__:
            if parent in (nn.Module, object) or parent.__module__.startswith("torch."):
                continue
            try:
                text += inspect.getsource(parent)
            except (OSError, TypeError):
                pass
        SOURCES[kind] = re.sub(r"\(\s*\n\s*", "(", re.sub(r",\s*\n\s*", ", ", text))
    return SOURCES[kind]


def of_parameter(module, name, parameter, path, parents):
    """The kind of one parameter.

    `path`: of the module; `parents`: the modules that contain it, from the model to the module itself.
    """
    dimensions = parameter.dim()
    if is_norm(module):
        return "norm"
    if isinstance(module, nn.Linear) and any(is_norm(parent) for parent in parents):
        return "pointwise"  # A gated or conditional normalization computes its scale with it.
    if isinstance(module, nn.Embedding):
        return "embedding"
    if any(is_router(parent, above) for above, parent in zip(parents, parents[1:])) and not has_experts(parents):
        return "router"
    if name == "bias" or name.endswith("_bias") or name.startswith("bias_"):
        return "bias"
    if dimensions < 2:
        return "vector"
    if any(MIXING.search(type(parent).__name__) for parent in parents):
        return "mixing"
    if isinstance(module, (nn.Linear, Conv1D)) and name == "weight":
        owners = [*path.rsplit(".", 2)[-2:], *(type(parent).__name__ for parent in parents[-2:-1])]
        if any(map(POSITION_NAME.search, owners)):
            return "position"
        return "router" if routes(module, path, parents) else "projection"
    if isinstance(module, CONVOLUTIONS):
        return "pointwise" if all(size == 1 for size in parameter.shape[2:]) else "kernel"
    if isinstance(module, (nn.Bilinear, nn.MultiheadAttention, *RECURRENT)):
        return "projection"
    return of_bare_parameter(module, name, parameter, path)


def of_bare_parameter(module, name, parameter, path):
    """A parameter that is not in a module of torch."""
    for (kind, attribute), answer in KNOWN.items():
        if re.search(kind, type(module).__name__) and re.fullmatch(attribute, name):
            return answer
    if multiplies(module, name):
        return "projection"
    return "table"


# Answers where neither the kind of module nor its code tells: (class of the module, name of the parameter).
KNOWN = {
    # Two rows for each head: whether two tokens are of one segment.
    ("Funnel|XLNet", "seg_embed"): "table",
    ("Funnel", "r_kernel"): "projection",
    ("QuantLinear", "weight"): "projection",
    # The rows of all experts follow each other.
    ("DbrxExpertGLU", "w1|v1|w2"): "rows",
}


def is_router(module, above):
    """True for a module that chooses among the experts beside it."""
    name = type(module).__name__
    return bool(ROUTER.search(name)) or bool(GATE.search(name)) and any("expert" in beside for beside, _ in above.named_children())


def has_experts(parents):
    """True if the module is within the experts of a layer, not beside them."""
    return any(re.search(r"Experts?$|ExpertMLP|ExpertsMLP", type(parent).__name__) for parent in parents)


def routes(module, path, parents):
    """True for the linear layer that chooses experts: it is beside them and has one row for each, or one for all."""
    attribute = path.rsplit(".", 1)[-1]
    if not ROUTER_NAME.search(attribute) or len(parents) < 2:
        return False
    beside = [name for name, _ in parents[-2].named_children()] + [name for name, _ in parents[-2].named_parameters(recurse=False)]
    if len(parents) > 2:
        beside += [name for name, _ in parents[-3].named_children()]
    rows = module.weight.shape[0]
    return any("expert" in name for name in beside) and rows <= 32 and rows < module.weight.shape[1]
