"""Measures by how much a solve raises the peak of resident memory, in a separate process for each competitor.

In a process that has solved a larger matrix before, memory that was freed but kept would hide what the next solve takes. A small
matrix is solved first, so that code and threads are loaded before the measurement.

    python3 memory.py scipy|torch THREADS SMALL LARGE [DRIVER]    # files of f32 matrices; prints bytes; run.py calls this
"""

import subprocess
import sys

import solve


def of_htsr(program, threads, small, large):
    """Returns bytes, or None if the system does not report them."""
    with solve.Solver(program, threads) as solver:
        solver.solve(small, "float32")
        growth = solver.solve(large, "float32")[1]
    return growth if growth >= 0 else None


def of_peer(peer, threads, small, large, driver=None):
    """Returns bytes, or None if the system does not report them."""
    command = [sys.executable, "-B", __file__, peer, str(threads), small, large] + ([driver] if driver else [])
    growth = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return growth if growth >= 0 else None


def peak_resident():
    """Returns the peak of resident memory in bytes."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def growth_by(function, matrix):
    """Measures the same growth as benches/solve.rs. Returns bytes, or -1 without /proc."""
    try:
        # Resets the peak to the current resident memory.
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
            file.write("5")
        before = peak_resident()
        function(matrix)
        return peak_resident() - before
    except OSError:
        return -1


def main():
    peer, threads, small, large, *driver = sys.argv[1:]
    if peer == "scipy":
        import scipy_peer

        def function(matrix):
            scipy_peer.eigenvalues(matrix, *driver)
    else:
        import torch_peer

        torch_peer.set_threads(int(threads))
        function = torch_peer.eigenvalues
    function(solve.read_matrix(small, "float32"))
    print(growth_by(function, solve.read_matrix(large, "float32")))


if __name__ == "__main__":
    main()
