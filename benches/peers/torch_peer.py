"""torch.linalg on the CPU: LAPACK from MKL, where torch was built with it."""

import re

import torch


def set_threads(count):
    """To be called before the first computation."""
    torch.set_num_threads(count)


def version():
    """torch's version, and that of its LAPACK where it says so."""
    found = re.search(r"Math Kernel Library Version (\S+)", torch.__config__.show())
    return f"{torch.__version__} ({'MKL ' + found[1] if found else 'without MKL'})"


def eigenvalues(matrix):
    """All eigenvalues, ascending, of a numpy matrix, which is kept."""
    return torch.linalg.eigvalsh(torch.from_numpy(matrix)).numpy()


def singular_values(matrix):
    """All singular values, descending, of a numpy matrix, which is kept."""
    return torch.linalg.svdvals(torch.from_numpy(matrix)).numpy()
