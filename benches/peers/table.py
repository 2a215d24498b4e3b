"""The rows of the table, and their format in markdown."""

import dataclasses
import statistics

PEERS = ["scipy", "torch"]


@dataclasses.dataclass
class Row:
    """One measurement of htsr, and of the peers that support it."""

    what: str
    size: object
    # "s", "error", "memory" or "difference": determines how values are printed.
    unit: str
    # All measurements of each competitor, by name; empty or absent if there is none. The median is reported.
    values: dict
    # Targets: how many times faster than each peer htsr must be; absent or None without a target.
    faster_by: dict = dataclasses.field(default_factory=dict)
    # Target: the largest value allowed for htsr.
    at_most: float | None = None

    def median(self, name):
        """Returns the median of a competitor, or None without measurements."""
        return statistics.median(self.values[name]) if self.values.get(name) else None

    def ratio(self, peer):
        """Returns the median time of a peer divided by that of htsr. None if the row has no times or not this peer."""
        if self.unit != "s" or not self.values.get(peer):
            return None
        return self.median(peer) / self.median("htsr")

    def fastest_ratio(self, peer):
        """Returns the same ratio for the fastest runs, which other load on the machine affects less."""
        if self.unit != "s" or not self.values.get(peer):
            return None
        return min(self.values[peer]) / min(self.values["htsr"])

    def verdicts(self):
        """Returns a text for each target: the target, and whether it was met."""
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
        """Returns everything, for JSON."""
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
    """Returns a word or two for the result of a target."""
    return ("met" if met else "MISSED") if known else "not measured"


def heading(about):
    """Returns a title and a list that describe the machine and the versions."""
    lines = [f"## htsr and its peers, {about['processor']}, {about['date']}", ""]
    lines += [f"- {name}: {'-' if value is None else value}" for name, value in about.items()]
    return "\n".join(lines) + "\n"


def markdown(rows):
    """Returns the table. Times are medians. A ratio is a peer's median over htsr's; the ratio of the fastest runs follows."""
    header = ["measured", "size", "htsr", *PEERS, *(f"{peer} / htsr (fastest)" for peer in PEERS), "target"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        values = [show(row.median(name), row.unit) for name in ["htsr", *PEERS]]
        ratios = [show_ratios(row, peer) for peer in PEERS]
        lines.append([row.what, str(row.size), *values, *ratios, "; ".join(row.verdicts()) or "-"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_ratios(row, peer):
    """Formats the ratio of the medians and that of the fastest runs."""
    if row.ratio(peer) is None:
        return "-"
    return f"{row.ratio(peer):.2f} ({row.fastest_ratio(peer):.2f})"


def show(value, unit):
    """Formats a number for people."""
    if value is None:
        return "-"
    if unit == "s":
        return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"
    if unit in ("error", "difference"):
        return f"{value:.1e}"
    return f"{value:.2f}"
