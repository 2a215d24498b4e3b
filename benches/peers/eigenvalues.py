"""Eigenvalues of Gaussian Gram matrices: time, error and memory."""

import os

import numpy

try:
    import scipy.linalg as linalg
except ImportError:
    linalg = None

import memory
import solve
import timing
from table import Row

# Targets: how many times faster than the peer htsr must be, by type and peer, then by order.
TARGETS = {
    ("float32", "scipy"): {1024: 3, 2048: 3.5, 4096: 4, 8192: 5.5},
    ("float32", "torch"): {1024: 2.2, 2048: 3, 4096: 2.6, 8192: 2.7},
    ("float64", "scipy"): {1024: 3, 2048: 3, 4096: 3.5, 8192: 4},
    ("float64", "torch"): {},
}
# The largest error allowed for htsr, in units of the largest eigenvalue.
LARGEST_ERROR = {"float32": 5e-7, "float64": 1e-14}
# The largest memory allowed for a solve in addition to its matrix, in units of that matrix.
LARGEST_GROWTH = 1.3
# The largest order at which errors are measured, because the reference takes long.
LARGEST_REFERENCE = 4096
# The smallest order at which memory has a target. At lower orders, a few pages would decide.
SMALLEST_GROWTH = 1024
# From this order on, two runs are enough.
LARGE = 8192


def measure(program, scipy, torch, options, folder):
    """Returns all rows, in the order of the table. `scipy` and `torch` are the modules of the peers, or None."""
    small = os.path.join(folder, "small")
    solve.write_matrix(gaussian_gram(64, "float32"), small)
    drivers = {"float32": None, "float64": None}
    if scipy:
        # Double precision is compared with dsyevd.
        drivers = {"float32": scipy.fastest_driver(gaussian_gram(1024, "float32")), "float64": "evd"}
    times, errors, growths = [], [], []
    with solve.Solver(program, options.threads) as solver:
        for dtype in ["float32", "float64"]:
            for order in options.sizes:
                matrix, file = gaussian_gram(order, dtype), os.path.join(folder, "matrix")
                solve.write_matrix(matrix, file)
                contest = Contest(solver, scipy, torch, drivers[dtype], matrix, file)
                times.append(time_row(contest, options.runs))
                if linalg and order <= LARGEST_REFERENCE:
                    errors.append(error_row(contest))
                if dtype == "float32":
                    growths.append(memory_row(contest, program, options.threads, small))
                solve.remove(file)
    return times + errors + growths


def gaussian_gram(order, dtype):
    """Returns W^T W for a W of standard normal numbers with a fixed seed. It is exactly symmetric, in column-major order."""
    weights = numpy.random.default_rng(order).standard_normal((order, order), dtype=dtype)
    gram = weights.T @ weights
    lower = numpy.tril(gram)
    return numpy.asfortranarray(lower + numpy.tril(gram, -1).T)


class Contest:
    """One matrix, and functions that solve it with each competitor. Keeps the eigenvalues that each found."""

    def __init__(self, solver, scipy, torch, driver, matrix, file):
        self.matrix, self.file, self.driver = matrix, file, driver
        self.dtype, self.order = matrix.dtype.name, len(matrix)
        self.values = {}
        self.competitors = {"htsr": lambda: self.by_htsr(solver)}
        if scipy:
            self.competitors["scipy"] = lambda: self.by_peer("scipy", lambda: scipy.eigenvalues(matrix, driver))
        if torch:
            self.competitors["torch"] = lambda: self.by_peer("torch", lambda: torch.eigenvalues(matrix))

    def by_htsr(self, solver):
        """Solves with htsr and returns the seconds, measured by benches/solve.rs without reading and writing files."""
        seconds, _ = solver.solve(self.file, self.dtype)
        self.values["htsr"] = solve.eigenvalues(self.file)
        return seconds

    def by_peer(self, name, function):
        """Solves with a peer and returns the seconds."""
        def run():
            self.values[name] = function()

        return timing.seconds(run)

    def short_dtype(self):
        """Returns f32 or f64."""
        return self.dtype.replace("float", "f")


def time_row(contest, runs):
    """Returns the row with the seconds of all competitors."""
    if contest.order >= LARGE:
        runs = min(runs, 2)
    what = f"eigenvalues {contest.short_dtype()}"
    if contest.driver:
        what += f", scipy's {contest.driver}"
    times = timing.alternate(f"eigenvalues {contest.short_dtype()} n {contest.order}", contest.competitors, runs)
    targets = {peer: TARGETS[contest.dtype, peer].get(contest.order) for peer in ["scipy", "torch"]}
    return Row(what, contest.order, "s", times, faster_by=targets)


def reference(matrix):
    """Returns the eigenvalues in double precision, by LAPACK's tridiagonalization and bisection.

    Errors are about an epsilon of the largest eigenvalue. Iterative drivers, such as numpy's, lose about 20 epsilon, which is
    more than the errors measured here.
    """
    _, diagonal, subdiagonal, _, info = linalg.lapack.dsytrd(matrix.astype("float64"), lower=1)
    if info != 0:
        raise RuntimeError(f"dsytrd failed: {info}")
    return linalg.eigvalsh_tridiagonal(diagonal, subdiagonal, lapack_driver="stebz")


def error_row(contest):
    """Returns the row with the largest error of each competitor, in units of the largest eigenvalue."""
    exact = reference(contest.matrix)
    errors = {name: [float(abs(values - exact).max() / exact[-1])] for name, values in contest.values.items()}
    what = f"error / largest eigenvalue, {contest.short_dtype()}"
    return Row(what, contest.order, "error", errors, at_most=LARGEST_ERROR[contest.dtype])


def memory_row(contest, program, threads, small):
    """Returns the row with the memory that a solve takes in addition to its matrix, for all competitors."""
    growths = {}
    for name in contest.competitors:
        if name == "htsr":
            growth = memory.of_htsr(program, threads, small, contest.file)
        else:
            driver = contest.driver if name == "scipy" else None
            growth = memory.of_peer(name, threads, small, contest.file, driver)
        if growth is not None:
            growths[name] = [growth / contest.matrix.nbytes]
    target = LARGEST_GROWTH if contest.order >= SMALLEST_GROWTH else None
    return Row("memory / matrix, f32", contest.order, "memory", growths, at_most=target)
