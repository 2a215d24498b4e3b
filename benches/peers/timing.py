"""Runs competitors in turn, so that what disturbs a machine for a while disturbs all of them."""

import sys
import time

# After a call, OpenBLAS and OpenMP keep their threads spinning for some hundredths of a second. The next competitor shall
# not share the cores with them.
REST = 0.3


def seconds(function, *arguments):
    """How long a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def alternate(what, competitors, runs):
    """The seconds of every run: a list for each of `competitors`, which maps names to functions that return seconds."""
    times = {name: [] for name in competitors}
    for _ in range(runs):
        for name, run in competitors.items():
            time.sleep(REST)
            times[name].append(run())
            print(f"{what}: {name} {times[name][-1]:.4g} s", file=sys.stderr)
    return times
