"""How well the floor of the stored format separates updates from rounding: planted low-rank updates, merged and subtracted again.

    python benches/research/floor.py FOLDER [--check HTSR]

writes FOLDER/planted.csv and FOLDER/low_rank.csv, and prints the tables of docs/floor.md. It needs numpy only, and computes the
floor as src/floor does. --check also scores every fifth case with the program HTSR and compares its floor with this one.
"""
import csv, itertools, json, pathlib, subprocess, sys, tempfile
import numpy as np

BITS = {"F32": 24, "F16": 11, "BF16": 8}
SHAPES = [(256, 256), (768, 256), (512, 512), (1024, 256)]
KINDS = ["normal", "rows", "columns", "both", "scales", "student"]
RANKS, SIZES = [4, 16, 64], [0.1, 0.3, 1, 3, 10, 30]


def rounded(x, dtype):
    if dtype == "F32":
        return x.astype(np.float32).astype(np.float64)
    if dtype == "F16":
        return x.astype(np.float16).astype(np.float64)
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def spacing(x, dtype):
    ulp = np.ldexp(1.0, np.frexp(x)[1] - BITS[dtype])
    return np.where(x == 0, 0, np.maximum(ulp, 2.0**-24) if dtype == "F16" else ulp)


def weights(rng, m, n, kind):
    w = 0.02 * rng.standard_normal((m, n))
    if kind == "student":  # three degrees of freedom: single elements stand out
        w = 0.02 * rng.standard_t(3, (m, n))
    if kind == "scales":  # log-normal scales of rows and columns
        w *= np.exp(rng.standard_normal((m, 1))) * np.exp(rng.standard_normal((1, n)))
    if kind in ("rows", "both"):
        w[rng.permutation(m)[: m // 64]] *= 30
    if kind in ("columns", "both"):
        w[:, rng.permutation(n)[: n // 64]] *= 30
    return w


def update(rng, m, n, rank, rms):
    u = (rng.standard_normal((m, rank)) * (1 + rng.pareto(1.5, rank))) @ rng.standard_normal((rank, n))
    return u * rms / np.sqrt((u**2).mean())


def edge(rows, cols):
    """The edge for variances rows_i cols_j / sum(rows): src/floor/edge.rs."""
    x, y = (s[s > 0] / s.max() for s in (rows, cols))

    def parameter(v, t):
        a = t / (1 + t)
        for _ in range(80):
            inverse = 1 / (1 - a * v)
            step = ((a * v * inverse).sum() - t) / (v * inverse**2).sum()
            a -= step
            if step <= 1e-9 * a:
                break
        return a

    def z(log_t):
        t = np.exp(log_t)
        return t / (parameter(x, t) * parameter(y, t))

    low, high, ratio = -7.0, np.log(4 * (len(x) * len(y)) ** 0.5), (5**0.5 - 1) / 2
    p, q = high - ratio * (high - low), low + ratio * (high - low)
    fp, fq = z(p), z(q)
    for _ in range(24):
        if fp < fq:
            high, q, fq, p = q, p, fp, q - ratio * (q - low)
            fp = z(p)
        else:
            low, p, fp, q = p, q, fq, p + ratio * (high - p)
            fq = z(q)
    return min(fp, fq) * rows.max() * cols.max() / rows.sum()


def floor(x, variances):
    """Floor, number below it and uncertain ones, for ascending eigenvalues x: src/floor/mod.rs."""
    m, n = variances.shape
    short = min(m, n)
    bound = (edge(variances.sum(1), variances.sum(0)) + 2 * variances.max()) * (1 + 2 * short ** (-2 / 3))
    count = lambda limit: int(np.searchsorted(x, limit))
    widest = count(2 * bound)
    taken = short - widest
    expected = variances.sum() * (m - taken) * (n - taken) / (m * n)
    found = bound * min(max(x[:widest].sum() / expected, 1), 2) if expected > 0 else bound
    below = count(found)
    r = short - below
    rest = ((m - r) ** 0.5 + (n - r) ** 0.5) ** 2 / (m**0.5 + n**0.5) ** 2
    return found, below, widest - min(count(found * rest), widest)


def alpha_at(x, i):
    return 1 + (len(x) - i) / np.log(x[i:] / x[i]).sum()


def alpha(x, rule):
    """By the median or the peak rule; nan for fewer than 8 eigenvalues, or a zero that the rule needs."""
    if len(x) < 8 or x[len(x) // 2 if rule == "median" else 0] <= 0:
        return float("nan")
    if rule == "median":
        return alpha_at(x, len(x) // 2)
    counts, edges = np.histogram(np.log10(x), 100)
    peak = 10 ** edges[counts.argmax()]
    candidates = [i for i in range(len(x) - 1) if np.log10(0.95 * peak) <= x[i] <= 1.5 * peak]

    def distance(i):
        n = len(x) - i
        return np.abs(1 - (x[i:] / x[i]) ** (1 - alpha_at(x, i)) - np.arange(n) / n).max()

    return alpha_at(x, min(candidates, key=distance)) if candidates else float("nan")


def eigenvalues(w):
    return np.sort(np.linalg.svd(w, compute_uv=False) ** 2)


def planted(rng, check):
    """Updates that were merged onto a base and rounded once."""
    for (m, n), dtype, kind, rank, size in itertools.product(SHAPES, BITS, KINDS, RANKS, SIZES):
        base = rounded(weights(rng, m, n, kind), dtype)
        u = update(rng, m, n, rank, size * np.sqrt((spacing(base, dtype) ** 2).mean()))
        merged = rounded(base + u, dtype)
        x, truth = eigenvalues(merged - base), eigenvalues(u)[-rank:]
        changed = merged != base  # rows and columns without a change have no error
        variances = spacing(merged, dtype) ** 2 / 12 * changed.any(1, keepdims=True) * changed.any(0, keepdims=True)
        limit, below, uncertain = floor(x, variances)
        kept = x[below:]
        row = dict(rows=m, cols=n, dtype=dtype, weights=kind, rank=rank, size_ulp=size)
        row |= dict(unchanged=round(float(1 - changed[changed.any(1)][:, changed.any(0)].mean()), 3), floor=f"{limit:.3e}", above=len(kept))
        row |= dict(kept=min(len(kept), rank), leaked=max(len(kept) - rank, 0), uncertain=uncertain)
        row["first_noise"] = round(float(x[-rank - 1] / limit), 3)
        for rule in ["peak", "median"]:
            fits = dict(true=alpha(truth, rule), above=alpha(kept, rule), all=alpha(x, rule))
            row |= {f"{rule}_{name}": round(float(value), 3) for name, value in fits.items()}
        check.add(dtype, base, merged, below, limit)
        yield row


def low_rank(rng):
    """Products of two factors, rounded."""
    shapes = [(64, 64, 48), (256, 256, 32), (256, 256, 192), (768, 256, 192), (512, 512, 448)]
    for (m, n, rank), dtype, kind in itertools.product(shapes, BITS, ["normal", "heavy", "scales", "rows"]):
        a, b = rng.standard_normal((m, rank)), 0.05 * rng.standard_normal((rank, n))
        a *= {"heavy": 1 + rng.pareto(1.5, rank), "scales": np.exp(rng.standard_normal((m, 1)))}.get(kind, 1)
        if kind == "rows":
            a[: m // 64] *= 30
        w = rounded(a @ b, dtype)
        x, truth = eigenvalues(w), eigenvalues(a @ b)[-rank:]
        limit, below, uncertain = floor(x, spacing(w, dtype) ** 2 / 12)
        row = dict(rows=m, cols=n, dtype=dtype, factors=kind, rank=rank, floor=f"{limit:.3e}", above=len(x) - below)
        row |= dict(planted_above=int((truth > limit).sum()), uncertain=uncertain, first_noise=f"{x[-rank - 1] / limit:.2e}")
        yield row


class Check:
    """Scores every fifth case with the program, and compares."""

    def __init__(self, program):
        self.program, self.cases, self.seen = program, [], 0

    def add(self, dtype, base, merged, below, limit):
        self.seen += 1
        if self.program and self.seen % 5 == 0 and base.shape[1] == 256:
            self.cases.append((dtype, base, merged, below, limit))

    def run(self):
        if not self.cases:
            return
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, f"{name}.safetensors") for name in ("base", "merged")]
            for path, which in zip(paths, (1, 2)):
                save(path, [(case[0], case[which]) for case in self.cases])
            command = [self.program, "score", paths[1], "--base", paths[0], "--rule", "median", "--format", "json", "-q", "--device", "cpu"]
            rows = json.loads(subprocess.run(command, capture_output=True).stdout)["matrices"]
        rows.sort(key=lambda row: row["layer"])
        differences = [abs(row["floor"] / case[4] - 1) for row, case in zip(rows, self.cases)]
        same = sum(row["below_floor"] == case[3] for row, case in zip(rows, self.cases))
        print(f"\n--check: {same} of {len(self.cases)} counts agree; floors differ by at most {max(differences):.1e}")


def save(path, tensors):
    header, data = {}, b""
    for layer, (dtype, w) in enumerate(tensors):
        bits = w.astype(np.float32)
        parts = {"F32": bits, "F16": bits.astype(np.float16), "BF16": (bits.view(np.uint32) >> 16).astype(np.uint16)}
        encoded = parts[dtype].tobytes()
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        header[name] = dict(dtype=dtype, shape=list(w.shape), data_offsets=[len(data), len(data) + len(encoded)])
        data += encoded
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def error(rows, rule, name):
    """Median and 90 % quantile of the relative error of alpha."""
    errors = [abs(row[f"{rule}_{name}"] / row[f"{rule}_true"] - 1) for row in rows]
    errors = [value for value in errors if np.isfinite(value)]
    if not errors:
        return "none"
    return f"{np.median(errors):.1%}, {np.quantile(errors, 0.9):.1%}"


def tables(rows):
    print("| size in ulp | unchanged | planted: kept | noise above the floor | noise in cases | peak: error of alpha | all eigenvalues | median: error | all |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        of = [row for row in rows if row["size_ulp"] == size and row["unchanged"] <= 0.4]
        if not of:
            continue
        total = lambda name: sum(row[name] for row in of)
        shares = [row["unchanged"] for row in of]
        errors = [error(of, rule, name) for rule in ("peak", "median") for name in ("above", "all")]
        cells = [size, f"{min(shares):.0%} to {max(shares):.0%}", f"{total('kept')} of {total('rank')}", total("leaked")]
        cells += [f"{sum(row['leaked'] > 0 for row in of)} of {len(of)}", *errors]
        print("|", " | ".join(map(str, cells)), "|")
    refused = sum(row["unchanged"] > 0.4 for row in rows)
    print(f"\n{refused} of {len(rows)} cases have more than 40 % unchanged elements and are left out.\n")
    print("| weights | noise / floor, at most | planted: kept, from 3 ulp | peak: error of alpha, from 3 ulp |")
    print("|---|---|---|---|")
    for kind in KINDS:
        of = [row for row in rows if row["weights"] == kind and row["unchanged"] <= 0.4]
        large = [row for row in of if row["size_ulp"] >= 3]
        kept = f"{sum(row['kept'] for row in large)} of {sum(row['rank'] for row in large)}"
        print("|", " | ".join([kind, f"{max(row['first_noise'] for row in of):.2f}", kept, error(large, "peak", "above")]), "|")


def main():
    folder = pathlib.Path(sys.argv[1])
    check = Check(sys.argv[sys.argv.index("--check") + 1] if "--check" in sys.argv else None)
    rng = np.random.default_rng(2026)
    rows, products = list(planted(rng, check)), list(low_rank(rng))
    write(folder / "planted.csv", rows)
    write(folder / "low_rank.csv", products)
    tables(rows)
    wrong = sum(row["above"] > row["rank"] for row in products)
    print(f"\nLow-rank weights: rounding above the floor in {wrong} of {len(products)}; "
          f"{sum(row['above'] for row in products)} of {sum(row['rank'] for row in products)} eigenvalues above it.")
    check.run()


main()
