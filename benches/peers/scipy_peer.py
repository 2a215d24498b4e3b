"""scipy.linalg.eigvalsh: LAPACK from scipy's own OpenBLAS, values only."""

import statistics

import scipy
import scipy.linalg

import timing

DRIVERS = ["ev", "evd", "evr"]


def version():
    """Returns the version of scipy and, if known, of its BLAS."""
    try:
        blas = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{scipy.__version__} ({blas['name']} {blas['version']})"
    except (KeyError, TypeError):
        return scipy.__version__


def eigenvalues(matrix, driver):
    """Returns all eigenvalues, ascending. `matrix` is not changed."""
    return scipy.linalg.eigvalsh(matrix, driver=driver, check_finite=False)


def fastest_driver(matrix):
    """Returns the LAPACK driver with the smallest median of 3 alternating runs, after one run to warm up."""
    runs = {driver: lambda driver=driver: timing.seconds(eigenvalues, matrix, driver) for driver in DRIVERS}
    times = timing.alternate("choice of scipy's driver", runs, 4)
    return min(DRIVERS, key=lambda driver: statistics.median(times[driver][1:]))
