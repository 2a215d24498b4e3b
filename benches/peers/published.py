"""How the published codes get from matrices to alphas: their own code from a checkout, or the same computation by us.

Nothing of their code is here. Each function below returns a function of matrices (a dict of numpy f32 matrices) to alphas
(a dict of floats).
"""

import contextlib
import importlib.util
import pathlib
import sys
import unittest.mock

import torch


def ours():
    """The peak rule of AlphaLoRA, written by us in torch from its definition: see src/fit/peak.rs."""
    def alphas(matrices):
        return {name: peak_alpha(torch.from_numpy(matrix)) for name, matrix in matrices.items()}

    return alphas


def peak_alpha(matrix):
    """The alpha of one matrix by the peak rule, in f32, one candidate after the other."""
    x = torch.linalg.svdvals(matrix).square().sort().values
    logs = x.log()
    log10 = x.log10()
    low, high = log10.min().item(), log10.max().item()
    counts = torch.histc(log10, 100, min=low, max=high)
    peak = 10.0 ** torch.linspace(low, high, 101)[counts.argmax()]
    # A logarithm among plain values: that is how it was published.
    inside = (x >= torch.log10(0.95 * peak)) & (x <= 1.5 * peak)
    candidates = inside[:-1].nonzero().flatten().tolist()
    distance, alpha = min(tail(x, logs, start) for start in candidates)
    return alpha


def tail(x, logs, start):
    """The Kolmogorov-Smirnov distance of the tail that begins at `start` from its power law, and the alpha of that."""
    n = len(x) - start
    alpha = 1 + n / (logs[start:].sum() - n * logs[start])
    fitted = 1 - (x[start:] / x[start]) ** (1 - alpha)
    observed = torch.arange(n) / n
    return (fitted - observed).abs().max().item(), alpha.item()


def alphalora(checkout):
    """AlphaLoRA's own `fix_finger`, as its `expert_number.py` calls it, on weights as they are."""
    module = load(pathlib.Path(checkout) / "expert_number.py", ["transformers", "tqdm"])

    def alphas(matrices):
        return {name: float(module.fix_finger(torch.from_numpy(matrix))) for name, matrix in matrices.items()}

    return alphas


def alphapruning(checkout):
    """AlphaPruning's own `net_esd_estimator`, as its `alpha_peak` calls it, on linear layers with these weights."""
    module = load(pathlib.Path(checkout) / "lib" / "esd_utils.py", ["weightwatcher", "tqdm"])

    def alphas(matrices):
        # What it prints is no part of our table.
        with contextlib.redirect_stdout(sys.stderr):
            found = module.net_esd_estimator(linear_layers(matrices), fix_fingers="xmin_peak")
        # It lists the layers in the order in which they were given.
        return {name: float(alpha) for name, alpha in zip(matrices, found["alpha"])}

    return alphas


def linear_layers(matrices):
    """A torch module that holds these weights, not copied."""
    layers = torch.nn.ModuleList()
    for matrix in matrices.values():
        layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
        layer.weight = torch.nn.Parameter(torch.from_numpy(matrix), requires_grad=False)
        layers.append(layer)
    return layers


def load(file, unused):
    """Imports a file of a checkout. What it imports but does not need for the computation need not be installed."""
    spec = importlib.util.spec_from_file_location(f"published_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    with unittest.mock.patch.dict(sys.modules, {name: unittest.mock.MagicMock() for name in unused}):
        spec.loader.exec_module(module)
    return module
