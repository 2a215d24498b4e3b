// cuSOLVER: eigenvalues of symmetric matrices, and the tridiagonal form. Values only.
//
// Workspaces are overwritten to their last byte when an operation runs, and so is the matrix: a program that relies on either gets NaN.
#include "calls.h"
#include "cublas.h"
#include "cusolver.h"
#include "householder.h"
#include "memory.h"
#include "spectra.h"

#include <climits>

namespace fake {

namespace {

constexpr int R_32F = 0, R_64F = 1;
constexpr int NOVECTOR = 0;

// The lower triangle, contiguous, whichever triangle was given.
template <typename T> std::vector<T> lower_triangle(const T *a, std::size_t n, std::size_t stride, bool lower) {
    std::vector<T> copy(n * n);
    for (std::size_t j = 0; j < n; j++) {
        for (std::size_t i = j; i < n; i++) {
            copy[i + j * n] = lower ? a[i + j * stride] : a[j + i * stride];
        }
    }
    return copy;
}

// A power of two that scales the largest element to nearly one, so that no square overflows; NaN if an element is not finite.
template <typename T> T scale_of(const std::vector<T> &a) {
    const T most = largest(a.data(), a.size());
    if (!std::isfinite(most)) {
        return std::numeric_limits<T>::quiet_NaN();
    }
    const int furthest = std::numeric_limits<T>::max_exponent - 2;
    return most == 0 ? T(1) : std::ldexp(T(1), std::clamp(-std::ilogb(most), -furthest, furthest));
}

// d, e and tau; all NaN if the matrix is not finite. `e` and `tau` have n - 1 elements.
template <typename T> struct Tridiagonal {
    std::vector<T> d, e, tau;
    bool finite;

    Tridiagonal(const T *a, std::size_t n, std::size_t stride, bool lower) : d(n), e(n), tau(n) {
        std::vector<T> copy = lower_triangle(a, n, stride, lower);
        const T scale = scale_of(copy);
        finite = std::isfinite(scale);
        for (T &element : copy) {
            element *= scale;
        }
        tridiagonalize(copy.data(), n, d.data(), e.data(), tau.data());
        for (std::size_t i = 0; i < n; i++) {
            d[i] /= scale;
            e[i] /= scale;
        }
    }
};

template <typename T> void poison_matrix(T *a, std::size_t n, std::size_t stride) {
    for (std::size_t j = 0; j < n; j++) {
        poison(a + j * stride, n * sizeof(T));
    }
}

// All eigenvalues, ascending, and info: 0, or how many did not converge.
template <typename T> void eigenvalues(T *a, std::size_t n, std::size_t stride, bool lower, T *values, int *info) {
    Tridiagonal<T> tridiagonal(a, n, stride, lower);
    const T scale = scale_of(tridiagonal.d) < scale_of(tridiagonal.e) ? scale_of(tridiagonal.d) : scale_of(tridiagonal.e);
    for (std::size_t i = 0; i < n; i++) {
        tridiagonal.d[i] *= scale;
        tridiagonal.e[i] *= scale;
    }
    const bool converged = !is_made_to_fail() && tridiagonal.finite &&
                           tridiagonal_eigenvalues(tridiagonal.d.data(), tridiagonal.e.data(), n);
    for (std::size_t i = 0; i < n; i++) {
        values[i] = converged ? tridiagonal.d[i] / scale : std::numeric_limits<T>::quiet_NaN();
    }
    *info = converged ? 0 : int(n);
    poison_matrix(a, n, stride);
}

struct Problem {
    const Solver *solver;
    const Params *params;
    int mode, uplo;
    std::int64_t n, stride, batch;
    int matrix_type, values_type, compute_type;

    std::size_t element() const { return matrix_type == R_64F ? sizeof(double) : sizeof(float); }

    int error() const {
        if (const int error = solver_error(solver)) {
            return error;
        }
        if (!is_params(params) || n < 0 || batch < 0 || stride < std::max<std::int64_t>(1, n) || uplo < 0 ||
            uplo > FILL_UPPER) {
            return SOLVER_INVALID_VALUE;
        }
        const bool same = matrix_type == values_type && matrix_type == compute_type;
        return mode == NOVECTOR && same && matrix_type <= R_64F ? SUCCESS : SOLVER_NOT_SUPPORTED;
    }

    // Some panels of 32 columns; with two stages also a band and the reflections of the first.
    std::size_t device_workspace() const {
        const std::size_t order = std::size_t(n);
        return 1024 + element() * order * (params->two_stage ? order + 128 : 40);
    }
    std::size_t host_workspace() const { return 256 + element() * 3 * std::size_t(n); }
    std::size_t batched_workspace() const { return 1024 + std::size_t(batch) * element() * std::size_t(n) * 6; }
};

template <typename T>
void run_batch(const Problem &problem, void *a, void *values, int *info, const char *work, std::size_t bytes) {
    const bool zeroed = std::all_of(work, work + bytes, [](char byte) { return byte == 0; });
    const std::size_t n = std::size_t(problem.n), stride = std::size_t(problem.stride);
    for (std::size_t matrix = 0; matrix < std::size_t(problem.batch); matrix++) {
        T *elements = static_cast<T *>(a) + matrix * stride * n, *of_matrix = static_cast<T *>(values) + matrix * n;
        eigenvalues(elements, n, stride, problem.uplo == FILL_LOWER, of_matrix, info + matrix);
        // cuSOLVER 11.7.1.2 returns wrong values, with info = 0, if its workspace was not cleared.
        for (std::size_t i = 0; i < n && !zeroed; i++) {
            of_matrix[i] *= T(1.25);
        }
    }
}

template <typename T>
int tridiagonal_form(const Solver *solver, int uplo, int n, T *a, int stride, T *d, T *e, T *tau, T *work, int work_size,
                     int needed, int *info) {
    if (const int error = solver_error(solver)) {
        return error;
    }
    const int device = solver->device;
    const std::size_t order = std::size_t(n);
    if (n < 1 || stride < n || uplo < 0 || uplo > FILL_UPPER || work_size < needed ||
        !on_device(a, matrix_bytes(n, n, stride, sizeof(T)), device) || !on_device(d, order * sizeof(T), device) ||
        !on_device(e, (order - 1) * sizeof(T), device) || !on_device(tau, (order - 1) * sizeof(T), device) ||
        !on_device(work, std::size_t(work_size) * sizeof(T), device) || !on_device(info, sizeof *info, device)) {
        return SOLVER_INVALID_VALUE;
    }
    enqueue(solver->stream, [=] {
        const Tridiagonal<T> tridiagonal(a, order, std::size_t(stride), uplo == FILL_LOWER);
        std::copy_n(tridiagonal.d.begin(), order, d);
        std::copy_n(tridiagonal.e.begin(), order - 1, e);
        std::copy_n(tridiagonal.tau.begin(), order - 1, tau);
        if (is_made_to_fail()) {
            poison(d, order * sizeof(T));
            poison(e, (order - 1) * sizeof(T));
        }
        poison_matrix(a, order, std::size_t(stride));
        poison(work, std::size_t(work_size) * sizeof(T));
        *info = 0;
    });
    return SUCCESS;
}

int tridiagonal_work(int n) { return 33 * n + 64; }

int tridiagonal_work_size(const char *function, const Solver *solver, int n, int stride, int *size) {
    return call(function, SOLVER_INTERNAL_ERROR, [&] {
        if (const int error = solver_error(solver)) {
            return error;
        }
        if (n < 0 || stride < std::max(1, n)) {
            return SOLVER_INVALID_VALUE;
        }
        *size = tridiagonal_work(n);
        return SUCCESS;
    });
}

} // namespace

} // namespace fake

using namespace fake;

API int cusolverDnXsyevd_bufferSize(const Solver *solver, const Params *params, int mode, int uplo, std::int64_t n,
                                    int matrix_type, const void *, std::int64_t stride, int values_type, const void *,
                                    int compute_type, std::size_t *device_bytes, std::size_t *host_bytes) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        const Problem problem{solver, params, mode, uplo, n, stride, 1, matrix_type, values_type, compute_type};
        if (const int error = problem.error()) {
            return error;
        }
        *device_bytes = problem.device_workspace();
        *host_bytes = problem.host_workspace();
        return SUCCESS;
    });
}

API int cusolverDnXsyevd(const Solver *solver, const Params *params, int mode, int uplo, std::int64_t n, int matrix_type,
                         void *a, std::int64_t stride, int values_type, void *values, int compute_type, void *work,
                         std::size_t work_bytes, void *host_work, std::size_t host_bytes, int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        const Problem problem{solver, params, mode, uplo, n, stride, 1, matrix_type, values_type, compute_type};
        if (const int error = problem.error()) {
            return error;
        }
        const int device = solver->device;
        if (work_bytes < problem.device_workspace() || host_bytes < problem.host_workspace() || host_work == nullptr ||
            !on_device(work, work_bytes, device) || !on_device(info, sizeof *info, device)) {
            return SOLVER_INVALID_VALUE;
        }
        const std::size_t values_bytes = std::size_t(n) * problem.element();
        if (n > 0 && (!on_device(a, matrix_bytes(n, n, stride, problem.element()), device) ||
                      !on_device(values, values_bytes, device))) {
            return SOLVER_INVALID_VALUE;
        }
        enqueue(solver->stream, [=] {
            const std::size_t order = std::size_t(n), step = std::size_t(stride);
            const bool lower = uplo == FILL_LOWER;
            if (n == 0) {
                *info = 0;
            } else if (matrix_type == R_64F) {
                eigenvalues(static_cast<double *>(a), order, step, lower, static_cast<double *>(values), info);
            } else {
                eigenvalues(static_cast<float *>(a), order, step, lower, static_cast<float *>(values), info);
            }
            poison(work, work_bytes);
            poison(host_work, host_bytes);
        });
        // Part of the real function runs on the host, between two synchronizations.
        complete(solver->stream);
        return SUCCESS;
    });
}

#ifndef FAKECUDA_OLD_SOLVER

API int cusolverDnXsyevBatched_bufferSize(const Solver *solver, const Params *params, int mode, int uplo, std::int64_t n,
                                          int matrix_type, const void *, std::int64_t stride, int values_type,
                                          const void *, int compute_type, std::size_t *device_bytes,
                                          std::size_t *host_bytes, std::int64_t batch) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        const Problem problem{solver, params, mode, uplo, n, stride, batch, matrix_type, values_type, compute_type};
        if (const int error = problem.error()) {
            return error;
        }
        *device_bytes = problem.batched_workspace();
        *host_bytes = 0;
        return SUCCESS;
    });
}

API int cusolverDnXsyevBatched(const Solver *solver, const Params *params, int mode, int uplo, std::int64_t n,
                               int matrix_type, void *a, std::int64_t stride, int values_type, void *values,
                               int compute_type, void *work, std::size_t work_bytes, void *, std::size_t, int *info,
                               std::int64_t batch) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        const Problem problem{solver, params, mode, uplo, n, stride, batch, matrix_type, values_type, compute_type};
        if (const int error = problem.error()) {
            return error;
        }
        const int device = solver->device;
        const std::size_t count = std::size_t(batch), element = problem.element();
        const std::size_t matrices_bytes = std::size_t(n) * std::size_t(stride) * count * element;
        if (matrices_bytes >= std::size_t(INT_MAX) || work_bytes < problem.batched_workspace() ||
            !on_device(work, work_bytes, device)) {
            return SOLVER_INVALID_VALUE;
        }
        if (matrices_bytes > 0 &&
            (!on_device(a, matrices_bytes, device) || !on_device(values, count * std::size_t(n) * element, device) ||
             !on_device(info, count * sizeof *info, device))) {
            return SOLVER_INVALID_VALUE;
        }
        enqueue(solver->stream, [=] {
            const char *bytes = static_cast<const char *>(work);
            if (n > 0 && matrix_type == R_64F) {
                run_batch<double>(problem, a, values, info, bytes, work_bytes);
            } else if (n > 0) {
                run_batch<float>(problem, a, values, info, bytes, work_bytes);
            }
            poison(work, work_bytes);
        });
        return SUCCESS;
    });
}

#endif

API int cusolverDnSsytrd_bufferSize(const Solver *solver, int, int n, const float *, int stride, const float *,
                                    const float *, const float *, int *size) {
    return tridiagonal_work_size(__func__, solver, n, stride, size);
}

API int cusolverDnDsytrd_bufferSize(const Solver *solver, int, int n, const double *, int stride, const double *,
                                    const double *, const double *, int *size) {
    return tridiagonal_work_size(__func__, solver, n, stride, size);
}

API int cusolverDnSsytrd(const Solver *solver, int uplo, int n, float *a, int stride, float *d, float *e, float *tau,
                         float *work, int work_size, int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        return tridiagonal_form(solver, uplo, n, a, stride, d, e, tau, work, work_size, tridiagonal_work(n), info);
    });
}

API int cusolverDnDsytrd(const Solver *solver, int uplo, int n, double *a, int stride, double *d, double *e, double *tau,
                         double *work, int work_size, int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        return tridiagonal_form(solver, uplo, n, a, stride, d, e, tau, work, work_size, tridiagonal_work(n), info);
    });
}
