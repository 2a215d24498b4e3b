"""Runs benches/solve.rs, the program that solves one eigenvalue problem per request with htsr."""

import contextlib
import os
import subprocess
import sys

import numpy


class Solver:
    """A running process. A request is a line; the answer is a line and a file: see benches/solve.rs."""

    def __init__(self, program, threads):
        self.threads = threads
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def solve(self, file, dtype):
        """Solves the matrix in `file`. Returns the seconds, and the bytes by which the peak of resident memory rose."""
        name = {"float32": "f32", "float64": "f64"}[numpy.dtype(dtype).name]
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{name} {self.threads} {file}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"benches/solve.rs ended at '{name} {self.threads} {file}'; its error is above")
        return float(answer[0]), int(answer[1])


def write_matrix(matrix, file):
    """Writes a matrix in the format of benches/solve.rs: raw, little-endian, column by column."""
    matrix.T.astype(matrix.dtype.newbyteorder("<"), copy=False).tofile(file)


def read_matrix(file, dtype):
    """Reads a matrix written by `write_matrix`, in column-major order."""
    elements = numpy.fromfile(file, dtype=dtype)
    order = int(len(elements) ** 0.5 + 0.5)
    return elements.reshape(order, order).T


def eigenvalues(file):
    """Reads the eigenvalues from the last solve of `file`, ascending."""
    return numpy.fromfile(f"{file}.values", dtype="<f8")


def remove(file):
    """Removes a matrix and its eigenvalues."""
    for name in [file, f"{file}.values"]:
        if os.path.exists(name):
            os.remove(name)
