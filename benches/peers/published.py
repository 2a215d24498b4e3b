"""Computes alphas as published: with the authors' code from a checkout, or with our own version of the same computation.

This file contains none of their code. `ours`, `alphalora` and `alphapruning` each return a function that maps matrices (a dict of
numpy f32 matrices) to alphas (a dict of floats).
"""

import contextlib
import importlib.util
import pathlib
import sys
import unittest.mock

import torch


def ours():
    """Our own implementation of AlphaLoRA's peak rule in torch, from its definition: see src/fit/peak.rs."""
    def alphas(matrices):
        return {name: peak_alpha(torch.from_numpy(matrix)) for name, matrix in matrices.items()}

    return alphas


def peak_alpha(matrix):
    """Returns the alpha of one matrix by the peak rule, in f32, fitting one candidate after the other."""
    x = torch.linalg.svdvals(matrix).square().sort().values
    logs = x.log()
    log10 = x.log10()
    low, high = log10.min().item(), log10.max().item()
    counts = torch.histc(log10, 100, min=low, max=high)
    peak = 10.0 ** torch.linspace(low, high, 101)[counts.argmax()]
    # The published code compares eigenvalues with a logarithm here.
    inside = (x >= torch.log10(0.95 * peak)) & (x <= 1.5 * peak)
    candidates = inside[:-1].nonzero().flatten().tolist()
    distance, alpha = min(tail(x, logs, start) for start in candidates)
    return alpha


def tail(x, logs, start):
    """Returns the Kolmogorov-Smirnov distance between the tail from `start` on and its power law, and the alpha of that law."""
    n = len(x) - start
    alpha = 1 + n / (logs[start:].sum() - n * logs[start])
    fitted = 1 - (x[start:] / x[start]) ** (1 - alpha)
    observed = torch.arange(n) / n
    return (fitted - observed).abs().max().item(), alpha.item()


def alphalora(checkout):
    """AlphaLoRA's own `fix_finger`, called as in its `expert_number.py`, on unchanged weights."""
    module = load(pathlib.Path(checkout) / "expert_number.py", ["transformers", "tqdm"])

    def alphas(matrices):
        return {name: float(module.fix_finger(torch.from_numpy(matrix))) for name, matrix in matrices.items()}

    return alphas


def alphapruning(checkout):
    """AlphaPruning's own `net_esd_estimator`, called as in its `alpha_peak`, on linear layers with these weights."""
    module = load(pathlib.Path(checkout) / "lib" / "esd_utils.py", ["weightwatcher", "tqdm"])

    def alphas(matrices):
        # Its output must not go into our table.
        with contextlib.redirect_stdout(sys.stderr):
            found = module.net_esd_estimator(linear_layers(matrices), fix_fingers="xmin_peak")
        # It returns the layers in the order of the input.
        return {name: float(alpha) for name, alpha in zip(matrices, found["alpha"])}

    return alphas


def linear_layers(matrices):
    """Returns a torch module that uses these weights without copying them."""
    layers = torch.nn.ModuleList()
    for matrix in matrices.values():
        layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
        layer.weight = torch.nn.Parameter(torch.from_numpy(matrix), requires_grad=False)
        layers.append(layer)
    return layers


def load(file, unused):
    """Imports a file of a checkout. Mocks replace the modules in `unused`, because the computation does not need them."""
    spec = importlib.util.spec_from_file_location(f"published_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    with unittest.mock.patch.dict(sys.modules, {name: unittest.mock.MagicMock() for name in unused}):
        spec.loader.exec_module(module)
    return module
