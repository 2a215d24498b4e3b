// cuBLAS: general and symmetric products. Everything is checked at the call and computed when the operation runs.
#include "cublas.h"

#include "calls.h"
#include "device.h"
#include "gemm.h"
#include "handles.h"
#include "libraries.h"
#include "memory.h"
#include "settings.h"

namespace fake {

namespace {

constexpr int R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14;
constexpr int COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_64F = 70;
constexpr int MATH_DEFAULT = 0, MATH_PEDANTIC = 2, MATH_NO_REDUCED_REDUCTION = 16;

Handles<Blas> &handles() {
    static Handles<Blas> &handles = *new Handles<Blas>;
    return handles;
}

// How a product changes its target. Host scalars are read at the call.
template <typename T> struct Update {
    T alpha, beta;
    T *target;
    std::size_t stride;
    Triangle triangle;
};

template <typename T> void apply(const Update<T> &update, const std::vector<T> &sum, std::size_t m, std::size_t n) {
    for (std::size_t j = 0; j < n; j++) {
        const std::size_t begin = update.triangle == Triangle::Lower ? j : 0;
        const std::size_t end = update.triangle == Triangle::Upper ? j + 1 : m;
        T *to = update.target + j * update.stride;
        for (std::size_t i = begin; i < end; i++) {
            const T product = update.alpha * sum[j * m + i];
            // With beta = 0 the target is not read, which may be NaN.
            to[i] = update.beta == T(0) ? product : product + update.beta * to[i];
        }
    }
}

void refuse_overlap(const char *function, const void *target, std::size_t bytes, const void *source, std::size_t of) {
    const char *a = static_cast<const char *>(target), *b = static_cast<const char *>(source);
    if (a < b + of && b < a + bytes) {
        die("%s: the result overlaps an operand", function);
    }
}

struct Shape {
    bool transpose_a, transpose_b;
    int m, n, k, stride_a, stride_b;
};

template <typename T, typename S>
int product(const char *function, const Blas *blas, const Shape &shape, const void *a, const void *b,
            const Update<T> &update) {
    const auto bytes = [](bool transposed, int rows, int columns, int stride) {
        return transposed ? matrix_bytes(columns, rows, stride, sizeof(S)) : matrix_bytes(rows, columns, stride, sizeof(S));
    };
    const std::size_t a_bytes = bytes(shape.transpose_a, shape.m, shape.k, shape.stride_a);
    const std::size_t b_bytes = bytes(shape.transpose_b, shape.k, shape.n, shape.stride_b);
    const std::size_t c_bytes = matrix_bytes(shape.m, shape.n, std::int64_t(update.stride), sizeof(T));
    const int device = blas->device;
    if (c_bytes == 0) {
        return SUCCESS;
    }
    if ((a_bytes > 0 && (!on_device(a, a_bytes, device) || !on_device(b, b_bytes, device))) ||
        !on_device(update.target, c_bytes, device)) {
        return BLAS_INVALID_VALUE;
    }
    refuse_overlap(function, update.target, c_bytes, a, a_bytes);
    refuse_overlap(function, update.target, c_bytes, b, b_bytes);
    enqueue(blas->stream, [=, workspace = blas->workspace, workspace_bytes = blas->workspace_bytes] {
        poison_ends(workspace, workspace_bytes);
        const Operand<S> left{static_cast<const S *>(a), std::size_t(shape.stride_a), shape.transpose_a};
        const Operand<S> right{static_cast<const S *>(b), std::size_t(shape.stride_b), shape.transpose_b};
        const std::size_t m = std::size_t(shape.m), n = std::size_t(shape.n);
        apply(update, multiply<T>(left, right, m, n, std::size_t(shape.k)), m, n);
    });
    return SUCCESS;
}

template <typename T>
int symmetric(const char *function, Blas *blas, int uplo, int trans, int n, int k, const T *alpha, const T *a, int stride_a,
              const T *beta, T *c, int stride_c) {
    if (const int error = blas_error(blas)) {
        return error;
    }
    if (n < 0 || k < 0 || stride_a < std::max(1, trans == OP_N ? n : k) || stride_c < std::max(1, n)) {
        return BLAS_INVALID_VALUE;
    }
    if (trans > OP_T || uplo > FILL_UPPER) {
        return BLAS_NOT_SUPPORTED;
    }
    const bool transposed = trans == OP_T;
    const Triangle triangle = uplo == FILL_LOWER ? Triangle::Lower : Triangle::Upper;
    const Update<T> update{*alpha, *beta, c, std::size_t(stride_c), triangle};
    return product<T, T>(function, blas, {transposed, !transposed, n, n, k, stride_a, stride_a}, a, a, update);
}

} // namespace

int blas_error(const Blas *blas) {
    if (!handles().has(blas) || blas->device != current_device()) {
        return BLAS_NOT_INITIALIZED;
    }
    if (blas->stream == nullptr) {
        return BLAS_NOT_SUPPORTED;
    }
    if (blas->workspace_bytes > 0 && !on_device(blas->workspace, blas->workspace_bytes, blas->device)) {
        die("cuBLAS would write to its workspace, which was freed");
    }
    return stream_error(blas->stream) == SUCCESS ? SUCCESS : BLAS_INVALID_VALUE;
}

std::size_t live_blas() { return handles().size(); }

} // namespace fake

using namespace fake;

API int cublasCreate_v2(Blas **blas) {
    return call(__func__, BLAS_ALLOC_FAILED, [&] {
        if (context_error() != SUCCESS) {
            return BLAS_NOT_INITIALIZED;
        }
        if (free_bytes() < HANDLE_BYTES) {
            return BLAS_NOT_INITIALIZED;
        }
        *blas = handles().add({current_device(), nullptr, nullptr, 0});
        return SUCCESS;
    });
}

API int cublasDestroy_v2(Blas *blas) {
    return release(__func__, BLAS_EXECUTION_FAILED,
                   [&] { return handles().remove(blas) ? SUCCESS : BLAS_NOT_INITIALIZED; });
}

API int cublasSetStream_v2(Blas *blas, Stream *stream) {
    return call(__func__, BLAS_EXECUTION_FAILED, [&] {
        if (!handles().has(blas)) {
            return BLAS_NOT_INITIALIZED;
        }
        if (stream == nullptr) {
            return BLAS_NOT_SUPPORTED;
        }
        if (stream_error(stream) != SUCCESS) {
            return BLAS_INVALID_VALUE;
        }
        // As documented: a new stream resets the workspace.
        *blas = {blas->device, stream, nullptr, 0};
        return SUCCESS;
    });
}

API int cublasSetWorkspace_v2(Blas *blas, void *workspace, std::size_t bytes) {
    return call(__func__, BLAS_EXECUTION_FAILED, [&] {
        if (!handles().has(blas)) {
            return BLAS_NOT_INITIALIZED;
        }
        if (bytes > 0 && (!on_device(workspace, bytes, blas->device) || std::uintptr_t(workspace) % 256 != 0)) {
            return BLAS_INVALID_VALUE;
        }
        blas->workspace = workspace;
        blas->workspace_bytes = bytes;
        return SUCCESS;
    });
}

// TensorFloat-32 and the emulated modes would change results, and are not modeled.
API int cublasSetMathMode(Blas *blas, int mode) {
    return call(__func__, BLAS_EXECUTION_FAILED, [&] {
        if (!handles().has(blas)) {
            return BLAS_NOT_INITIALIZED;
        }
        const int base = mode & ~MATH_NO_REDUCED_REDUCTION;
        return base == MATH_DEFAULT || base == MATH_PEDANTIC ? SUCCESS : BLAS_NOT_SUPPORTED;
    });
}

API int cublasGetVersion_v2(Blas *blas, int *version) {
    return call(__func__, BLAS_EXECUTION_FAILED, [&] {
        if (!handles().has(blas)) {
            return BLAS_NOT_INITIALIZED;
        }
        *version = 130400;
        return SUCCESS;
    });
}

API int cublasGemmEx(Blas *blas, int trans_a, int trans_b, int m, int n, int k, const void *alpha, const void *a,
                     int a_type, int stride_a, const void *b, int b_type, int stride_b, const void *beta, void *c,
                     int c_type, int stride_c, int compute, int algorithm) {
    const char *function = __func__;
    return call(function, BLAS_EXECUTION_FAILED, [&] {
        if (const int error = blas_error(blas)) {
            return error;
        }
        if (trans_a < 0 || trans_a > OP_T || trans_b < 0 || trans_b > OP_T || a_type != b_type || algorithm < -1) {
            return BLAS_NOT_SUPPORTED;
        }
        const bool transpose_a = trans_a == OP_T, transpose_b = trans_b == OP_T;
        if (m < 0 || n < 0 || k < 0 || stride_a < std::max(1, transpose_a ? k : m) ||
            stride_b < std::max(1, transpose_b ? n : k) || stride_c < std::max(1, m)) {
            return BLAS_INVALID_VALUE;
        }
        const Shape shape{transpose_a, transpose_b, m, n, k, stride_a, stride_b};
        if (a_type == R_64F && c_type == R_64F && compute == COMPUTE_64F) {
            const Update<double> update{*static_cast<const double *>(alpha), *static_cast<const double *>(beta),
                                        static_cast<double *>(c), std::size_t(stride_c), Triangle::Both};
            return product<double, double>(function, blas, shape, a, b, update);
        }
        if (c_type != R_32F || (compute != COMPUTE_32F && compute != COMPUTE_32F_PEDANTIC)) {
            return BLAS_NOT_SUPPORTED;
        }
        const Update<float> update{*static_cast<const float *>(alpha), *static_cast<const float *>(beta),
                                   static_cast<float *>(c), std::size_t(stride_c), Triangle::Both};
        switch (a_type) {
        case R_16BF:
            return product<float, Bf16>(function, blas, shape, a, b, update);
        case R_16F:
            return product<float, F16>(function, blas, shape, a, b, update);
        case R_32F:
            return product<float, float>(function, blas, shape, a, b, update);
        default:
            return BLAS_NOT_SUPPORTED;
        }
    });
}

API int cublasSsyrk_v2(Blas *blas, int uplo, int trans, int n, int k, const float *alpha, const float *a, int stride_a,
                       const float *beta, float *c, int stride_c) {
    const char *function = __func__;
    return call(function, BLAS_EXECUTION_FAILED,
                [&] { return symmetric(function, blas, uplo, trans, n, k, alpha, a, stride_a, beta, c, stride_c); });
}

API int cublasDsyrk_v2(Blas *blas, int uplo, int trans, int n, int k, const double *alpha, const double *a, int stride_a,
                       const double *beta, double *c, int stride_c) {
    const char *function = __func__;
    return call(function, BLAS_EXECUTION_FAILED,
                [&] { return symmetric(function, blas, uplo, trans, n, k, alpha, a, stride_a, beta, c, stride_c); });
}
