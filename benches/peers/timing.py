"""Runs competitors in turn, so that a temporary disturbance of the machine affects all of them."""

import sys
import time

# Seconds of pause before each run. After a call, OpenBLAS and OpenMP keep their threads spinning for some hundredths of a
# second, and the next competitor must not share the cores with them.
REST = 0.3


def seconds(function, *arguments):
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def alternate(what, competitors, runs):
    """Runs each competitor `runs` times and returns a list of seconds for each. `competitors` maps names to functions that
    return seconds."""
    times = {name: [] for name in competitors}
    for _ in range(runs):
        for name, run in competitors.items():
            time.sleep(REST)
            times[name].append(run())
            print(f"{what}: {name} {times[name][-1]:.4g} s", file=sys.stderr)
    return times
