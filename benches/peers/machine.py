"""Builds the programs to measure, and says on what machine and with what versions."""

import collections
import datetime
import json
import os
import pathlib
import platform
import subprocess
import time

import numpy

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

Programs = collections.namedtuple("Programs", ["htsr", "solve"])


def build():
    """The paths of `htsr` and of the bench target `solve`."""
    return Programs(
        htsr=cargo("htsr", "build", "--release", "--bin", "htsr"),
        solve=cargo("solve", "bench", "--bench", "solve", "--no-run"),
    )


def cargo(target, *arguments):
    """Runs cargo and returns the path of the program that it says it built for `target`. Its progress goes to stderr."""
    command = ["cargo", *arguments, "--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == target and message["executable"]
    )


# What decides which instructions the libraries use, beside the processor.
INSTRUCTION_SETS = ["HTSR_SIMD", "OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY"]


def about(options, scipy, torch):
    """What has to stand beside the numbers, in the order in which it is printed."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "threads": options.threads,
        "runs": options.runs,
        "htsr": commit(),
        "numpy": numpy.__version__,
        "scipy": scipy.version() if scipy else None,
        "torch": torch.version() if torch else None,
        **{name: os.environ[name] for name in INSTRUCTION_SETS if os.environ.get(name)},
    }


def processor():
    """The model of the CPU, as Linux or Python names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


# Above this share of the cores, others disturb the measurement.
BUSY = 0.1


def busy():
    """The share of all cores that others use, over a second in which this benchmark rests; None where /proc is not."""
    try:
        before = processor_time()
        time.sleep(1)
        after = processor_time()
    except OSError:
        return None
    idle, total = after[0] - before[0], after[1] - before[1]
    return round(1 - idle / total, 2)


def processor_time():
    """The idle and the total time of all cores so far."""
    with open("/proc/stat", encoding="utf-8") as file:
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in the first two.
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def commit():
    """The commit of the checkout, and whether it is all that was built."""
    def git(*arguments):
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout

    revision = git("rev-parse", "--short=12", "HEAD").strip() or "unknown commit"
    changed = git("status", "--porcelain", "--untracked-files=no").strip()
    return revision + (" with uncommitted changes" if changed else "")
