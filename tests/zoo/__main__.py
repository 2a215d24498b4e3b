"""Builds a zoo of tiny models and compares what htsr says about their tensors with the module trees: see `run`."""

import argparse
import collections
import functools
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time
import traceback

import torch
import transformers

import build
import compare
import depths
import known
import truth


def main():
    options = arguments()
    started = time.time()
    with multiprocessing.Pool(options.jobs, prepare) as pool:
        rows = []
        for of_type in pool.imap(functools.partial(rows_of_type, options), chosen(options)):
            for row in of_type:
                print(row.text(), flush=True)
            rows += of_type
    if not options.quiet:
        print_faults(rows)
    unexpected = report(rows, time.time() - started)
    sys.exit(1 if unexpected or not rows else 0)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/zoo/run", description=__doc__)
    parser.add_argument("types", nargs="*", help="model types (bert), with all their classes; every type by default")
    parser.add_argument("--all", action="store_true", help="also other classes of a type whose tensors have other names")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep the models and truth.json in this folder")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--quiet", action="store_true", help="print the table without names of tensors")
    return parser.parse_args()


def prepare():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)


def chosen(options):
    """The types to build, with the names of their classes."""
    candidates = build.candidates()
    unknown = set(options.types) - {model_type for model_type, _ in candidates}
    if unknown:
        sys.exit(f"error: no model type is named {', '.join(sorted(unknown))}")
    return [candidate for candidate in candidates if not options.types or candidate[0] in options.types]


def rows_of_type(options, candidate):
    """Builds the models of one type and compares them."""
    model_type, names = candidate
    first = build.model_class(model_type, names)
    if first is None:  # Not exported: a part of another model.
        return []
    kinds = {model_type: first}
    if options.all or options.types:
        kinds |= {f"{model_type}:{kind.__name__}": kind for kind in build.variants(model_type, names, first)}
    return [row(name, model_type, kind, options) for name, kind in kinds.items()]


class Row:
    """What happened to one model: it was not built, htsr refused it, or there are faults."""

    def __init__(self, name, kind):
        self.name, self.kind, self.failure, self.verdict = name, kind, None, None

    def text(self):
        if self.failure:
            return f"| {self.name} | {self.kind} | not built: {self.failure} |"
        if self.verdict.refused:
            return f"| {self.name} | {self.kind} | refused: {self.verdict.refused} |"
        counts = self.verdict.counts()
        faults = ", ".join(f"{kind} {counts[kind]}" for kind in compare.KINDS if counts[kind])
        return f"| {self.name} | {self.kind} | {faults or 'right'} |"

    def unexpected(self):
        if self.failure:
            return True
        refused = [("refused", self.verdict.refused)] if self.verdict.refused else []
        return any(not known.is_known(self.name, *fault) for fault in refused + self.verdict.faults)


def row(name, model_type, kind, options):
    result = Row(name, kind.__name__)
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        folder = (options.keep or pathlib.Path(scratch)) / name.replace(":", ".")
        try:
            built = build.model(model_type, kind)
            build.save(built, folder)
            found = truth.of_model(built, folder)
            if name == model_type:  # Other classes may lack the encoder.
                depths.check(built.config, found["stacks"])
        except Exception as error:  # A model that cannot be built is a row of the table.
            result.failure = f"{type(error).__name__}: {error} ({place(error)})".replace("\n", " ")[:300]
            return result
        if options.keep:
            truth.write({"class": result.kind, **found}, folder / "truth.json")
        result.verdict = compare.compare(os.environ["HTSR"], folder, found)
    return result


def place(error):
    """The last line of transformers or of this folder that the error passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/models/" in f.filename or "/zoo/" in f.filename]
    return f"{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def print_faults(rows):
    """Prints the names of the tensors."""
    for row in rows:
        if row.verdict and row.verdict.faults:
            print(f"\n{row.name} ({row.kind}):")
            for kind, sentence in shortened(row.verdict.faults):
                print(f"  {kind}: {sentence}")


def report(rows, seconds):
    """Prints the totals. Returns the rows with faults that are not known."""
    unexpected = [row for row in rows if row.unexpected()]
    total = collections.Counter()
    for row in rows:
        if row.verdict:
            total.update(set(row.verdict.counts()))
    built = [row for row in rows if row.verdict]
    right = [row for row in built if not row.verdict.faults and not row.verdict.refused]
    refused = [row for row in built if row.verdict.refused]
    print(f"\n{len(built)} models of {len(rows)} built in {seconds:.0f} s: {len(right)} right, {len(refused)} refused, "
          f"{len(built) - len(right) - len(refused)} with faults")
    print("models by kind of fault: " + (", ".join(f"{kind} {total[kind]}" for kind in compare.KINDS if total[kind]) or "none"))
    if unexpected:
        print("faults that tests/zoo/known.py does not list: " + ", ".join(row.name for row in unexpected))
    return unexpected


def shortened(faults, most=4):
    """The first faults of each kind, and how many more there are."""
    counts = collections.Counter(kind for kind, _ in faults)
    seen = collections.Counter()
    for kind, sentence in faults:
        seen[kind] += 1
        if seen[kind] <= most:
            yield kind, sentence
        elif seen[kind] == most + 1:
            yield kind, f"... {counts[kind]} in all"


if __name__ == "__main__":
    main()
