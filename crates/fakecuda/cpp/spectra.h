// Eigenvalues of tridiagonal matrices and singular values of bidiagonal ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace fake {

// The eigenvalues, ascending, in place of the diagonal d; e has n elements, the last unused. Implicit QL (EISPACK's imtql1,
// the plane rotations computed with hypot, which protects them from tiny elements). False if it does not converge.
template <typename T> bool tridiagonal_eigenvalues(T *d, T *e, std::size_t n) {
    constexpr int SWEEPS = 60;
    constexpr T negligible = std::numeric_limits<T>::epsilon() / 2;
    e[n - 1] = 0;
    for (std::size_t l = 0; l < n; l++) {
        for (int sweep = 0;; sweep++) {
            std::size_t m = l;
            while (m + 1 < n && std::abs(e[m]) > negligible * (std::abs(d[m]) + std::abs(d[m + 1]))) {
                m++;
            }
            if (m == l) {
                break;
            }
            if (sweep == SWEEPS) {
                return false;
            }
            T g = (d[l + 1] - d[l]) / (2 * e[l]), r = std::hypot(g, T(1));
            g = d[m] - d[l] + e[l] / (g + std::copysign(r, g));
            T sine = 1, cosine = 1, p = 0;
            std::size_t i = m;
            while (i-- > l) {
                const T f = sine * e[i], b = cosine * e[i];
                r = std::hypot(f, g);
                e[i + 1] = r;
                if (r == 0) {
                    d[i + 1] -= p;
                    e[m] = 0;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * sine + 2 * cosine * b;
                p = sine * r;
                d[i + 1] = g + p;
                g = cosine * r - b;
            }
            if (i + 1 > l) {
                continue; // split
            }
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }
    }
    std::sort(d, d + n);
    return true;
}

// The singular values, descending, of the upper bidiagonal matrix with the diagonal d and e above it, each to half an
// epsilon of the largest. Golub and Kahan: they are the positive eigenvalues of the tridiagonal matrix with a zero diagonal
// and d1 e1 d2 e2 ... beside it, found by bisection with Sturm counts.
inline void bidiagonal_singular_values(const double *d, const double *e, std::size_t n, double *values) {
    constexpr int STEPS = 56;
    std::vector<double> squares(2 * n - 1);
    double bound = 0, before = 0;
    for (std::size_t i = 0; i < n; i++) {
        const double above = i + 1 < n ? std::abs(e[i]) : 0;
        bound = std::max(bound, std::abs(d[i]) + std::max(before, above));
        before = above;
        squares[2 * i] = d[i] * d[i];
        if (i + 1 < n) {
            squares[2 * i + 1] = e[i] * e[i];
        }
    }
    bound *= 1 + 8 * std::numeric_limits<double>::epsilon();
    const double smallest = std::numeric_limits<double>::min() * std::max(1.0, bound * bound);
    // How many singular values are smaller than x.
    const auto count = [&](double x) {
        std::size_t negative = 1;
        double pivot = -x;
        for (const double square : squares) {
            pivot = std::abs(pivot) < smallest ? -smallest : pivot;
            pivot = -x - square / pivot;
            negative += pivot < 0;
        }
        return negative - n;
    };
    for (std::size_t k = 0; k < n; k++) {
        double low = 0, high = bound;
        for (int step = 0; step < STEPS; step++) {
            const double middle = 0.5 * (low + high);
            (count(middle) > k ? high : low) = middle;
        }
        values[n - 1 - k] = 0.5 * (low + high);
    }
}

} // namespace fake
