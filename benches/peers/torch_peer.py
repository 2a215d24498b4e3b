"""torch.linalg on the CPU. LAPACK comes from MKL if torch was built with it."""

import re

import torch


def set_threads(count):
    """Limits the number of threads. Call before the first computation."""
    torch.set_num_threads(count)


def version():
    """Returns the version of torch and, if known, of its LAPACK."""
    found = re.search(r"Math Kernel Library Version (\S+)", torch.__config__.show())
    return f"{torch.__version__} ({'MKL ' + found[1] if found else 'without MKL'})"


def eigenvalues(matrix):
    """Returns all eigenvalues of a numpy matrix, ascending. The matrix is not changed."""
    return torch.linalg.eigvalsh(torch.from_numpy(matrix)).numpy()


def singular_values(matrix):
    """Returns all singular values of a numpy matrix, descending. The matrix is not changed."""
    return torch.linalg.svdvals(torch.from_numpy(matrix)).numpy()
