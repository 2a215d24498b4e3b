"""The rows of the table, and how they look in markdown."""

import dataclasses
import statistics

PEERS = ["scipy", "torch"]


@dataclasses.dataclass
class Row:
    """One thing that was measured, of htsr and of those peers that can do it."""

    what: str
    size: object
    # "s", "error", "memory" or "difference": how a value reads.
    unit: str
    # All measurements of each, by name; empty or absent where there is none. Their median counts.
    values: dict
    # By what factor htsr is to be faster, for each peer; absent or None where nothing is asked.
    faster_by: dict = dataclasses.field(default_factory=dict)
    # What the value of htsr is to be at most.
    at_most: float | None = None

    def median(self, name):
        """The median of a competitor, or None."""
        return statistics.median(self.values[name]) if self.values.get(name) else None

    def ratio(self, peer):
        """How many times as long as htsr a peer takes; None for what is no time, or where there is no peer."""
        if self.unit != "s" or not self.values.get(peer):
            return None
        return self.median(peer) / self.median("htsr")

    def fastest_ratio(self, peer):
        """The same, of the fastest run of each: other load on the machine spoils it less."""
        if self.unit != "s" or not self.values.get(peer):
            return None
        return min(self.values[peer]) / min(self.values["htsr"])

    def verdicts(self):
        """What was asked and whether it was met, as text: one for each target."""
        found = []
        for peer in PEERS:
            target, ratio = self.faster_by.get(peer), self.ratio(peer)
            if target is not None:
                found.append(f"{peer} {target:g}x: {verdict(ratio is not None, ratio is not None and ratio >= target)}")
        if self.at_most is not None:
            own = self.median("htsr")
            found.append(f"htsr <= {self.at_most:g}: {verdict(own is not None, own is not None and own <= self.at_most)}")
        return found

    def as_dict(self):
        """Everything, for JSON."""
        return {
            "what": self.what,
            "size": self.size,
            "unit": self.unit,
            "values": self.values,
            "ratios": {peer: self.ratio(peer) for peer in PEERS},
            "fastest_ratios": {peer: self.fastest_ratio(peer) for peer in PEERS},
            "verdicts": self.verdicts(),
        }


def verdict(known, met):
    """One word."""
    return ("met" if met else "MISSED") if known else "not measured"


def heading(about):
    """What the numbers were measured on and with: a title and a list."""
    lines = [f"## htsr and its peers, {about['processor']}, {about['date']}", ""]
    lines += [f"- {name}: {'-' if value is None else value}" for name, value in about.items()]
    return "\n".join(lines) + "\n"


def markdown(rows):
    """The table. Times are medians; a ratio is a peer's median by htsr's, and beside it that of the fastest runs."""
    header = ["measured", "size", "htsr", *PEERS, *(f"{peer} / htsr (fastest)" for peer in PEERS), "target"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        values = [show(row.median(name), row.unit) for name in ["htsr", *PEERS]]
        ratios = [show_ratios(row, peer) for peer in PEERS]
        lines.append([row.what, str(row.size), *values, *ratios, "; ".join(row.verdicts()) or "-"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_ratios(row, peer):
    """The ratio of the medians, and that of the fastest runs."""
    if row.ratio(peer) is None:
        return "-"
    return f"{row.ratio(peer):.2f} ({row.fastest_ratio(peer):.2f})"


def show(value, unit):
    """A number as a person reads it."""
    if value is None:
        return "-"
    if unit == "s":
        return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"
    if unit in ("error", "difference"):
        return f"{value:.1e}"
    return f"{value:.2f}"
