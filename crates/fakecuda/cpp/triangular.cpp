// cuBLAS: the solution of a triangular system.
#include "calls.h"
#include "cublas.h"
#include "memory.h"

#include <algorithm>

namespace fake {

namespace {

struct System {
    bool lower, transposed, unit;
    int n;
    const double *matrix;
    std::size_t stride;
    double *x;
    std::size_t step;
};

void solve(const System &system) {
    const std::size_t n = std::size_t(system.n);
    // A transposed lower matrix is solved from the end, like an upper one.
    const bool forward = system.lower != system.transposed;
    for (std::size_t done = 0; done < n; done++) {
        const std::size_t i = forward ? done : n - 1 - done;
        double value = system.x[i * system.step];
        for (std::size_t other = 0; other < done; other++) {
            const std::size_t j = forward ? other : n - 1 - other;
            const double element =
                system.transposed ? system.matrix[j + i * system.stride] : system.matrix[i + j * system.stride];
            value -= element * system.x[j * system.step];
        }
        system.x[i * system.step] = system.unit ? value : value / system.matrix[i + i * system.stride];
    }
}

} // namespace

} // namespace fake

using namespace fake;

API int cublasDtrsv_v2(Blas *blas, int uplo, int trans, int diagonal, int n, const double *matrix, int stride, double *x,
                       int step) {
    return call(__func__, BLAS_EXECUTION_FAILED, [&] {
        if (const int error = blas_error(blas)) {
            return error;
        }
        if (n < 0 || stride < std::max(1, n) || step == 0) {
            return BLAS_INVALID_VALUE;
        }
        if (uplo > FILL_UPPER || trans > OP_T || step < 0) {
            return BLAS_NOT_SUPPORTED;
        }
        if (n == 0) {
            return SUCCESS;
        }
        if (!on_device(matrix, matrix_bytes(n, n, stride, sizeof *matrix), blas->device) ||
            !on_device(x, matrix_bytes(1, n, step, sizeof *x), blas->device)) {
            return BLAS_INVALID_VALUE;
        }
        const System system{uplo == FILL_LOWER,  trans == OP_T, diagonal == 1,    n, matrix,
                            std::size_t(stride), x,             std::size_t(step)};
        enqueue(blas->stream, [=, workspace = blas->workspace, bytes = blas->workspace_bytes] {
            poison_ends(workspace, bytes);
            solve(system);
        });
        return SUCCESS;
    });
}
