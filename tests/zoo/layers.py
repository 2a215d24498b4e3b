"""Which numbered element of a module tree is a layer.

A layer is an element of the outermost list whose elements are blocks. Where the elements of that list are stages, which have lists of
blocks themselves (Swin, Segformer, ConvNext), the inner lists are the stacks. Lists within a block (experts, the two parts of a block
of T5, the linear layers of an MLP) are never stacks.
"""

import dataclasses
import re

from torch import nn

from roles import is_matrix, is_norm

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
EXPERTS = re.compile(r"expert", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Layer:
    """An element of a list of modules. `kind`: "block", or "minor" if the list is no stack of blocks for certain."""

    list: str
    index: int
    kind: str


def find(model):
    """The layer of each module that is the element of a stack or of another list outside the blocks, by the path of the module."""
    layers = {}
    visit(model, "", layers)
    return layers


def of_path(path, layers):
    """The layer of the module at this path: the outermost block around it, or else the innermost element of another list."""
    around = [layers[part] for part in prefixes(path) if part in layers]
    blocks = [layer for layer in around if layer.kind == "block"]
    return blocks[0] if blocks else around[-1] if around else None


def prefixes(path):
    """The paths of the modules around a module, from the model to the module itself."""
    parts = path.split(".") if path else []
    return [""] + [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def visit(module, path, layers):
    children = dict(module.named_children())
    for name, child in children.items():
        lists = [other for other in children.values() if is_list(other)]
        larger = any(is_beside_larger(child, other) for other in lists)
        parallel = any(is_list(child) and len(child) == len(other) and all(map(is_norm, other)) for other in lists)
        visit_child(child, f"{path}.{name}" if path else name, layers, larger, parallel)
    for group in numbered_attributes(module):
        enter({str(number): (f"{path}.{name}" if path else name, child) for number, (name, child) in group.items()},
              f"{path}.{re.sub(r'[0-9]+$', '#', next(iter(group.values()))[0])}".lstrip("."), layers)


def visit_child(child, path, layers, beside_larger=False, parallel=False):
    if is_list(child):
        elements = {name: (f"{path}.{name}", element) for name, element in child.named_children()}
        enter(elements, path, layers, beside_larger, parallel)
    else:
        visit(child, path, layers)


def enter(elements, path, layers, beside_larger=False, parallel=False):
    """Decides about one list.

    `elements`: path and module by number. `beside_larger`: the same module has a list of larger blocks and of another length, so that
    this list is no stack for certain (the mergers beside the blocks of a vision tower). `parallel`: the norms of the blocks are in a
    list beside this one (XLM).
    """
    blocks = [element for _, element in elements.values()]
    kind = "block" if (stack_of_blocks(blocks) or parallel and max(map(matrices, blocks)) > 1) and not beside_larger else "minor"
    staged = any(inner_stacks(element) for _, element in elements.values())
    for number, (element_path, element) in elements.items():
        if kind == "minor" or staged:
            layers.setdefault(element_path, Layer(path, int(number), "minor"))
            if isinstance(element, LISTS):
                visit_child(element, element_path, layers)
            else:
                visit(element, element_path, layers)
        else:
            layers[element_path] = Layer(path, int(number), "block")


def is_list(module):
    names = [name for name, _ in module.named_children()]
    return isinstance(module, LISTS) and bool(names) and all(name.isdigit() for name in names)


def is_beside_larger(module, other):
    """True if the elements of `module` are MLPs with at most two matrices, and the other list has more blocks or fewer, and larger."""
    if not is_list(module) or len(module) == len(other) or not stack_of_blocks(list(other.children())):
        return False
    return matrices(module) <= 2 * len(module) and matrices(other) > 2 * len(other)


def stack_of_blocks(elements):
    """True if most elements are blocks. A single MLP in a list is none."""
    return sum(map(is_block, elements)) * 2 > len(elements) and (len(elements) > 1 or matrices(elements[0]) > 2)


def numbered_attributes(module):
    """Children such as `layer_0`, `layer_1` that are no list but are numbered: groups by what precedes the number."""
    if isinstance(module, LISTS):
        return []
    groups = {}
    for name, child in module.named_children():
        parts = re.fullmatch(r"(.*\D)(\d+)", name)
        if parts and is_block(child):
            groups.setdefault((parts[1], type(child)), {})[int(parts[2])] = (name, child)
    return [group for group in groups.values() if len(group) > 1]


def is_block(module):
    """True if the module has at least two matrices or kernels in modules of its own, and a norm."""
    return not is_matrix(module) and matrices(module) >= 2 and any(map(is_norm, module.modules()))


def inner_stacks(stage):
    """The lists of like-built blocks that hold nearly all matrices of this element of a list, if it is a stage."""
    found = []
    collect(stage, found)
    inside = sum(matrices(element) for stack in found for element in stack)
    largest = max((matrices(element) for stack in found for element in stack), default=0)
    return found if inside and matrices(stage) - inside < max(largest, 3) else []


def collect(module, found):
    if isinstance(module, LISTS) and is_stack_of_stage(module):
        found.append(list(module.children()))
        return
    for name, child in module.named_children():
        if not EXPERTS.search(name) and not EXPERTS.search(type(child).__name__):
            collect(child, found)


def is_stack_of_stage(module):
    elements = list(module.children())
    names = [name for name, _ in module.named_children()]
    kinds = {type(element) for element in elements}
    alike = len(kinds) == 1 or len(kinds) < len(elements)
    return all(name.isdigit() for name in names) and alike and all(map(is_block, elements))


def matrices(module):
    return sum(is_matrix(inner) for inner in module.modules())
