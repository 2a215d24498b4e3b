"""By how much a solve raises the peak of resident memory, each in a process of its own.

In a process that has solved before, memory that it freed but kept would hide what the next solve takes. Code and threads
are there before the measurement: a small matrix is solved first.

    python3 memory.py scipy|torch THREADS SMALL LARGE [DRIVER]    # files of f32 matrices; prints bytes; run.py calls this
"""

import subprocess
import sys

import solve


def of_htsr(program, threads, small, large):
    """Bytes, or None where the system does not say."""
    with solve.Solver(program, threads) as solver:
        solver.solve(small, "float32")
        growth = solver.solve(large, "float32")[1]
    return growth if growth >= 0 else None


def of_peer(peer, threads, small, large, driver=None):
    """Bytes, or None where the system does not say."""
    command = [sys.executable, "-B", __file__, peer, str(threads), small, large] + ([driver] if driver else [])
    growth = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return growth if growth >= 0 else None


def peak_resident():
    """The most memory that was ever resident, in bytes."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def growth_by(function, matrix):
    """What benches/solve.rs measures, in Python: bytes, -1 where /proc does not say."""
    try:
        # Sets the peak back to what is resident now.
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
