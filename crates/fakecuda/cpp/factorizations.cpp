// cuSOLVER: Cholesky, QR, and singular values, in double precision.
#include "calls.h"
#include "cublas.h"
#include "cusolver.h"
#include "householder.h"
#include "memory.h"
#include "spectra.h"

namespace fake {

namespace {

int cholesky_work(int n) { return 32 * n + 64; }
int qr_work(int n) { return 33 * n + 64; }
int svd_work(int m, int n) { return m + 36 * n + 64; }

// The lower factor in place, upper triangle untouched. Returns 0, or the order of the leading minor that is not positive.
int cholesky(double *a, std::size_t n, std::size_t stride) {
    for (std::size_t j = 0; j < n; j++) {
        double *column = a + j + j * stride;
        for (std::size_t k = 0; k < j; k++) {
            const double *earlier = a + j + k * stride;
            axpy(-earlier[0], earlier, column, n - j);
        }
        if (!(column[0] > 0)) {
            return int(j + 1);
        }
        const double root = std::sqrt(column[0]);
        for (std::size_t i = 0; i < n - j; i++) {
            column[i] /= root;
        }
    }
    return 0;
}

void transpose(double *a, std::size_t n, std::size_t stride) {
    for (std::size_t j = 0; j < n; j++) {
        for (std::size_t i = 0; i < j; i++) {
            std::swap(a[i + j * stride], a[j + i * stride]);
        }
    }
}

// Descending; NaN and info > 0 if an element is not finite.
void singular_values(double *a, std::size_t m, std::size_t n, std::size_t stride, double *values, int *info) {
    double most = 0;
    for (std::size_t j = 0; j < n && std::isfinite(most); j++) {
        const double of_column = largest(a + j * stride, m);
        most = std::isfinite(of_column) ? std::max(most, of_column) : of_column;
    }
    if (!std::isfinite(most)) {
        std::fill(values, values + n, std::numeric_limits<double>::quiet_NaN());
        *info = int(n);
        return;
    }
    // A power of two, so that nothing is lost and no square overflows.
    const int exponent = most == 0 ? 0 : std::ilogb(most);
    for (std::size_t j = 0; j < n; j++) {
        for (std::size_t i = 0; i < m; i++) {
            a[i + j * stride] = std::ldexp(a[i + j * stride], -exponent);
        }
    }
    std::vector<double> r(n * n), d(n), e(n);
    qr(a, m, n, stride, d.data());
    for (std::size_t j = 0; j < n; j++) {
        std::copy_n(a + j * stride, j + 1, r.data() + j * n);
    }
    bidiagonalise(r.data(), n, d.data(), e.data());
    bidiagonal_singular_values(d.data(), e.data(), n, values);
    for (std::size_t i = 0; i < n; i++) {
        values[i] = std::ldexp(values[i], exponent);
    }
    *info = 0;
}

int work_size(const char *function, const Solver *solver, bool valid, int needed, int *size) {
    return call(function, SOLVER_INTERNAL_ERROR, [&] {
        if (const int error = solver_error(solver)) {
            return error;
        }
        if (!valid) {
            return SOLVER_INVALID_VALUE;
        }
        *size = needed;
        return SUCCESS;
    });
}

bool has_room(const double *work, int size, int needed, int device) {
    return size >= needed && on_device(work, std::size_t(size) * sizeof *work, device);
}

} // namespace

} // namespace fake

using namespace fake;

API int cusolverDnDpotrf_bufferSize(const Solver *solver, int, int n, double *, int stride, int *size) {
    return work_size(__func__, solver, n >= 0 && stride >= std::max(1, n), cholesky_work(n), size);
}

API int cusolverDnDpotrf(const Solver *solver, int uplo, int n, double *a, int stride, double *work, int size, int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (const int error = solver_error(solver)) {
            return error;
        }
        const int device = solver->device;
        if (n < 1 || stride < n || uplo < 0 || uplo > FILL_UPPER || !has_room(work, size, cholesky_work(n), device) ||
            !on_device(a, matrix_bytes(n, n, stride, sizeof *a), device) || !on_device(info, sizeof *info, device)) {
            return SOLVER_INVALID_VALUE;
        }
        enqueue(solver->stream, [=] {
            const std::size_t order = std::size_t(n), step = std::size_t(stride);
            poison(work, std::size_t(size) * sizeof *work);
            // The other triangle is unchanged.
            if (uplo == FILL_UPPER) {
                transpose(a, order, step);
            }
            *info = cholesky(a, order, step);
            if (uplo == FILL_UPPER) {
                transpose(a, order, step);
            }
        });
        return SUCCESS;
    });
}

API int cusolverDnDgeqrf_bufferSize(const Solver *solver, int m, int n, double *, int stride, int *size) {
    return work_size(__func__, solver, m >= 0 && n >= 0 && stride >= std::max(1, m), qr_work(n), size);
}

API int cusolverDnDgeqrf(const Solver *solver, int m, int n, double *a, int stride, double *tau, double *work, int size,
                         int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (const int error = solver_error(solver)) {
            return error;
        }
        const int device = solver->device;
        if (m < 1 || n < 1 || stride < m || !has_room(work, size, qr_work(n), device) ||
            !on_device(a, matrix_bytes(m, n, stride, sizeof *a), device) ||
            !on_device(tau, std::size_t(std::min(m, n)) * sizeof *tau, device) || !on_device(info, sizeof *info, device)) {
            return SOLVER_INVALID_VALUE;
        }
        enqueue(solver->stream, [=] {
            qr(a, std::size_t(m), std::size_t(n), std::size_t(stride), tau);
            poison(work, std::size_t(size) * sizeof *work);
            *info = 0;
        });
        return SUCCESS;
    });
}

// Like the real one, only for m >= n.
API int cusolverDnDgesvd_bufferSize(const Solver *solver, int m, int n, int *size) {
    return work_size(__func__, solver, n >= 0 && m >= n, svd_work(m, n), size);
}

API int cusolverDnDgesvd(const Solver *solver, signed char job_u, signed char job_v, int m, int n, double *a, int stride,
                         double *values, double *, int, double *, int, double *work, int size, double *, int *info) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (const int error = solver_error(solver)) {
            return error;
        }
        if (job_u != 'N' || job_v != 'N') {
            return SOLVER_NOT_SUPPORTED;
        }
        const int device = solver->device;
        if (n < 1 || m < n || stride < m || !has_room(work, size, svd_work(m, n), device) ||
            !on_device(a, matrix_bytes(m, n, stride, sizeof *a), device) ||
            !on_device(values, std::size_t(n) * sizeof *values, device) || !on_device(info, sizeof *info, device)) {
            return SOLVER_INVALID_VALUE;
        }
        enqueue(solver->stream, [=] {
            singular_values(a, std::size_t(m), std::size_t(n), std::size_t(stride), values, info);
            for (std::size_t column = 0; column < std::size_t(n); column++) {
                poison(a + column * std::size_t(stride), std::size_t(m) * sizeof *a);
            }
            poison(work, std::size_t(size) * sizeof *work);
        });
        return SUCCESS;
    });
}
