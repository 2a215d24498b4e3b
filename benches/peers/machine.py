"""Builds the programs to measure, and describes the machine and the versions."""

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
    """Builds `htsr` and the bench target `solve`, and returns their paths."""
    return Programs(
        htsr=cargo("htsr", "build", "--release", "--bin", "htsr"),
        solve=cargo("solve", "bench", "--bench", "solve", "--no-run"),
    )


def cargo(target, *arguments):
    """Runs cargo and returns the path of the program that it built for `target`. Progress goes to stderr."""
    command = ["cargo", *arguments, "--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == target and message["executable"]
    )


# Environment variables that restrict which instructions the libraries use.
INSTRUCTION_SETS = ["HTSR_SIMD", "OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY"]


def about(options, scipy, torch):
    """Returns the description of the measurement, in the order in which it is printed."""
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
    """Returns the model of the CPU as reported by Linux or Python."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


# If other programs use more than this share of the cores, they disturb the measurement.
BUSY = 0.1


def busy():
    """Returns the share of all cores that other programs use, measured for one second. None without /proc."""
    try:
        before = processor_time()
        time.sleep(1)
        after = processor_time()
    except OSError:
        return None
    idle, total = after[0] - before[0], after[1] - before[1]
    return round(1 - idle / total, 2)


def processor_time():
    """Returns the idle and the total time of all cores so far."""
    with open("/proc/stat", encoding="utf-8") as file:
        # user, nice, system, idle, iowait, irq, softirq, steal. The first two include the time of guests.
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def commit():
    """Returns the commit of the checkout, and whether there are uncommitted changes."""
    def git(*arguments):
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout

    revision = git("rev-parse", "--short=12", "HEAD").strip() or "unknown commit"
    changed = git("status", "--porcelain", "--untracked-files=no").strip()
    return revision + (" with uncommitted changes" if changed else "")
