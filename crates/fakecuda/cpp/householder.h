// Householder reflections, and the reductions that use them: QR, tridiagonal, bidiagonal. Unblocked, column-major,
// in the precision of T; backward stable, as the textbook algorithms are (Golub and Van Loan, chapters 5 and 8).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace fake {

template <typename T> T dot(const T *x, const T *y, std::size_t n) {
    constexpr std::size_t LANES = 8; // independent sums, that a compiler can keep in vectors
    T sums[LANES] = {};
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (std::size_t lane = 0; lane < LANES; lane++) {
            sums[lane] += x[i + lane] * y[i + lane];
        }
    }
    for (; i < n; i++) {
        sums[i % LANES] += x[i] * y[i];
    }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

template <typename T> void axpy(T factor, const T *x, T *y, std::size_t n) {
    for (std::size_t i = 0; i < n; i++) {
        y[i] += factor * x[i];
    }
}

// The largest magnitude; NaN or infinite if there is a NaN or an infinity.
template <typename T> T largest(const T *x, std::size_t n) {
    T most = 0;
    for (std::size_t i = 0; i < n; i++) {
        if (!std::isfinite(x[i])) {
            return x[i];
        }
        most = std::max(most, std::abs(x[i]));
    }
    return most;
}

template <typename T> T norm(const T *x, std::size_t n) {
    const T most = largest(x, n);
    if (!(most > 0) || !std::isfinite(most)) {
        return most;
    }
    double sum = 0;
    for (std::size_t i = 0; i < n; i++) {
        sum += double(x[i] / most) * double(x[i] / most);
    }
    return T(most * std::sqrt(sum));
}

// Turns x into v with v[0] = 1, such that (1 - tau v v^T) x = beta e_1. LAPACK's larfg.
template <typename T> struct Reflection {
    T tau, beta;

    Reflection(T *x, std::size_t n) {
        const T below = norm(x + 1, n - 1);
        tau = 0;
        beta = x[0];
        if (below != 0) {
            beta = -std::copysign(T(std::hypot(x[0], below)), x[0]);
            tau = (beta - x[0]) / beta;
            for (std::size_t i = 1; i < n; i++) {
                x[i] /= x[0] - beta;
            }
        }
        x[0] = 1;
    }
};

// A = Q R of an m x n matrix in place, as LAPACK's geqrf leaves it: R above, the reflections below the diagonal.
template <typename T> void qr(T *a, std::size_t m, std::size_t n, std::size_t stride, T *tau) {
    for (std::size_t j = 0; j < std::min(m, n); j++) {
        T *v = a + j + j * stride;
        const Reflection<T> reflection(v, m - j);
        for (std::size_t column = j + 1; column < n; column++) {
            T *x = a + j + column * stride;
            axpy(-reflection.tau * dot(v, x, m - j), v, x, m - j);
        }
        v[0] = reflection.beta;
        tau[j] = reflection.tau;
    }
}

// The tridiagonal matrix of a symmetric one, of which the lower triangle is read and destroyed: n, n - 1 and n - 1 elements.
template <typename T> void tridiagonalize(T *a, std::size_t n, T *d, T *e, T *tau) {
    std::vector<T> w(n);
    for (std::size_t j = 0; j + 1 < n; j++) {
        T *v = a + (j + 1) + j * n;
        const std::size_t rest = n - 1 - j;
        const Reflection<T> reflection(v, rest);
        d[j] = a[j + j * n];
        e[j] = reflection.beta;
        tau[j] = reflection.tau;
        if (reflection.tau == 0) {
            continue;
        }
        std::fill(w.begin(), w.begin() + std::ptrdiff_t(rest), T(0));
        for (std::size_t column = 0; column < rest; column++) {
            const T *x = a + (j + 1 + column) * (n + 1); // from the diagonal down
            w[column] += dot(x, v + column, rest - column);
            axpy(v[column], x + 1, w.data() + column + 1, rest - column - 1);
        }
        for (std::size_t i = 0; i < rest; i++) {
            w[i] *= reflection.tau;
        }
        axpy(T(-0.5) * reflection.tau * dot(w.data(), v, rest), v, w.data(), rest);
        for (std::size_t column = 0; column < rest; column++) {
            T *x = a + (j + 1 + column) * (n + 1);
            for (std::size_t i = 0; i < rest - column; i++) {
                x[i] -= v[column + i] * w[column] + w[column + i] * v[column];
            }
        }
    }
    d[n - 1] = a[n * n - 1];
}

// The upper bidiagonal matrix of a square one: d, the diagonal, and e, n - 1 elements above it.
template <typename T> void bidiagonalise(T *a, std::size_t n, T *d, T *e) {
    std::vector<T> row(n), products(n);
    for (std::size_t j = 0; j < n; j++) {
        T *v = a + j + j * n;
        const Reflection<T> left(v, n - j);
        for (std::size_t column = j + 1; column < n; column++) {
            T *x = a + j + column * n;
            axpy(-left.tau * dot(v, x, n - j), v, x, n - j);
        }
        d[j] = left.beta;
        const std::size_t rest = n - 1 - j;
        if (rest == 0) {
            break;
        }
        for (std::size_t i = 0; i < rest; i++) {
            row[i] = a[j + (j + 1 + i) * n];
        }
        const Reflection<T> right(row.data(), rest);
        e[j] = right.beta;
        std::fill(products.begin(), products.begin() + std::ptrdiff_t(rest), T(0));
        for (std::size_t i = 0; i < rest; i++) {
            axpy(right.tau * row[i], a + (j + 1) + (j + 1 + i) * n, products.data(), rest);
        }
        for (std::size_t i = 0; i < rest; i++) {
            axpy(-row[i], products.data(), a + (j + 1) + (j + 1 + i) * n, rest);
        }
    }
}

} // namespace fake
