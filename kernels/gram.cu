// Around the Gram matrix, n x n, column-major and full: the sums by which its eigenvalues are checked, its upper half, and the
// triangle of a QR factorization.
#include "common.cuh"

// Block x of matrix y takes the columns x, x + gridDim.x ... and writes sums[y * gridDim.x + x]. The order of the additions
// is fixed. Any power of two of threads; shared memory: 2 doubles per thread.
template <typename T> __device__ void gram_sums(const T *matrices, unsigned n, GramSums *sums) {
    const T *matrix = matrices + (unsigned long long)blockIdx.y * n * n;
    double trace = 0.0, squares = 0.0;
    for (unsigned column = blockIdx.x; column < n; column += gridDim.x) {
        for (unsigned row = threadIdx.x; row < n; row += blockDim.x) {
            const double value = double(matrix[(unsigned long long)column * n + row]);
            squares += value * value;
            trace += row == column ? value : 0.0;
        }
    }
    double *traces = shared_memory<double>();
    double *all_squares = traces + blockDim.x;
    traces[threadIdx.x] = trace;
    all_squares[threadIdx.x] = squares;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            traces[threadIdx.x] += traces[threadIdx.x + half];
            all_squares[threadIdx.x] += all_squares[threadIdx.x + half];
        }
    }
    if (threadIdx.x == 0) {
        sums[blockIdx.y * gridDim.x + blockIdx.x] = {traces[0], all_squares[0]};
    }
}

// Copies the lower half of each n x n matrix of a batch to its upper half. Blocks of THREADS take square tiles of a warp's width,
// by column and row. Shared memory: WARP (WARP + 1) numbers.
template <typename T> __device__ void mirror(T *matrices, unsigned n) {
    if (blockIdx.y < blockIdx.x) {
        return;
    }
    T *tile = shared_memory<T>();
    T *matrix = matrices + (unsigned long long)blockIdx.z * n * n;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const unsigned left = blockIdx.x * WARP, top = blockIdx.y * WARP;
    for (unsigned c = warp; c < WARP; c += warps) {
        if (left + c < n && top + lane < n) {
            tile[c * (WARP + 1) + lane] = matrix[(unsigned long long)(left + c) * n + top + lane];
        }
    }
    __syncthreads();
    for (unsigned c = warp; c < WARP; c += warps) {
        if (left + lane < top + c && top + c < n) {
            matrix[(unsigned long long)(top + c) * n + left + lane] = tile[lane * (WARP + 1) + c];
        }
    }
}

KERNEL(mirror_f32)(float *matrices, unsigned n) { mirror(matrices, n); }

KERNEL(mirror_f64)(double *matrices, unsigned n) { mirror(matrices, n); }

KERNEL(gram_sums_f32)(const float *matrices, unsigned n, GramSums *sums) { gram_sums(matrices, n, sums); }

KERNEL(gram_sums_f64)(const double *matrices, unsigned n, GramSums *sums) { gram_sums(matrices, n, sums); }

// Sets everything below the diagonal of an n x n triangle to zero: a QR factorization leaves its vectors there. Any grid; no
// shared memory.
KERNEL(clear_below_diagonal)(double *matrix, unsigned n, unsigned long long stride) {
    for (unsigned column = blockIdx.x; column < n; column += gridDim.x) {
        for (unsigned row = column + 1 + threadIdx.x; row < n; row += blockDim.x) {
            matrix[column * stride + row] = 0.0;
        }
    }
}
