// All eigenvalues of symmetric tridiagonal matrices, by bisection with Sturm counts.
//
// The algorithm, operation for operation, of src/device/cpu/sturm.rs, which explains why it is accurate; results are the
// same to the last bit, whatever the batch. One thread per eigenvalue; the matrix passes through shared memory in tiles.
// Arithmetic is f64 on f32 input too: n is small, and the tridiagonalization before it costs O(n^3).
//
// A batch is ragged: matrix b has the diagonal diagonal[offsets[b] .. offsets[b + 1]], and its subdiagonal has the same
// offsets and is one element shorter.
#include "common.cuh"

// Halvings that take an interval from the norm's width to half an epsilon of it.
constexpr int STEPS = 54;

// Gershgorin's interval, a little widened, and the smallest pivot that a division is safe with. One block per matrix, any
// power of two of threads; shared memory: 3 doubles per thread.
template <typename T>
__device__ void bounds(const T *diagonal, const T *subdiagonal, const unsigned long long *offsets, Interval *intervals) {
    const unsigned long long begin = offsets[blockIdx.x];
    const unsigned n = unsigned(offsets[blockIdx.x + 1] - begin);
    const T *d = diagonal + begin;
    const T *e = subdiagonal + begin;
    double low = infinity(), high = -infinity(), square = 1.0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        const double before = i > 0 ? fabs(double(e[i - 1])) : 0.0;
        const double after = i + 1 < n ? fabs(double(e[i])) : 0.0;
        const double radius = before + after;
        low = fmin(low, double(d[i]) - radius);
        high = fmax(high, double(d[i]) + radius);
        square = fmax(square, after * after);
    }
    double *lows = shared_memory<double>();
    double *highs = lows + blockDim.x;
    double *squares = highs + blockDim.x;
    lows[threadIdx.x] = low;
    highs[threadIdx.x] = high;
    squares[threadIdx.x] = square;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            lows[threadIdx.x] = fmin(lows[threadIdx.x], lows[threadIdx.x + half]);
            highs[threadIdx.x] = fmax(highs[threadIdx.x], highs[threadIdx.x + half]);
            squares[threadIdx.x] = fmax(squares[threadIdx.x], squares[threadIdx.x + half]);
        }
    }
    if (threadIdx.x == 0) {
        const double smallest_normal = 2.2250738585072014e-308;
        const double margin = 4.0 * EPSILON * double(n) * fmax(fabs(lows[0]), fabs(highs[0])) + smallest_normal;
        intervals[blockIdx.x] = {lows[0] - margin, highs[0] + margin, smallest_normal * squares[0]};
    }
}

// Eigenvalue number blockIdx.x * blockDim.x + threadIdx.x of matrix blockIdx.y. Shared memory: 2 doubles per thread.
template <typename T>
__device__ void bisect(const T *diagonal, const T *subdiagonal, const unsigned long long *offsets,
                       const Interval *intervals, double *values) {
    const unsigned long long begin = offsets[blockIdx.y];
    const unsigned n = unsigned(offsets[blockIdx.y + 1] - begin);
    // The whole block returns, so no thread waits at a barrier for one that has returned.
    if (blockIdx.x * blockDim.x >= n) {
        return;
    }
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    const T *d = diagonal + begin;
    const T *e = subdiagonal + begin;
    double *tile_d = shared_memory<double>();
    double *tile_square = tile_d + blockDim.x;
    const Interval interval = intervals[blockIdx.y];
    double low = interval.low, high = interval.high;
    for (int step = 0; step < STEPS; step++) {
        const double shift = 0.5 * (low + high);
        unsigned below = 0;
        double pivot = 1.0;
        for (unsigned tile = 0; tile < n; tile += blockDim.x) {
            const unsigned i = tile + threadIdx.x;
            __syncthreads();
            if (i < n) {
                const double before = i > 0 ? double(e[i - 1]) : 0.0;
                tile_d[threadIdx.x] = double(d[i]);
                tile_square[threadIdx.x] = before * before;
            }
            __syncthreads();
            const unsigned count = n - tile < blockDim.x ? n - tile : blockDim.x;
            for (unsigned k = 0; k < count; k++) {
                pivot = (tile_d[k] - shift) - tile_square[k] / pivot;
                if (fabs(pivot) < interval.smallest_pivot) {
                    pivot = -interval.smallest_pivot;
                }
                below += pivot < 0.0 ? 1 : 0;
            }
        }
        if (below <= index) {
            low = shift;
        } else {
            high = shift;
        }
    }
    if (index < n) {
        values[begin + index] = 0.5 * (low + high);
    }
}

KERNEL(sturm_bounds_f64)(const double *d, const double *e, const unsigned long long *offsets, Interval *intervals) {
    bounds(d, e, offsets, intervals);
}

KERNEL(sturm_bounds_f32)(const float *d, const float *e, const unsigned long long *offsets, Interval *intervals) {
    bounds(d, e, offsets, intervals);
}

KERNEL(sturm_bisect_f64)(const double *d, const double *e, const unsigned long long *offsets, const Interval *intervals,
                         double *values) {
    bisect(d, e, offsets, intervals, values);
}

KERNEL(sturm_bisect_f32)(const float *d, const float *e, const unsigned long long *offsets, const Interval *intervals,
                         double *values) {
    bisect(d, e, offsets, intervals, values);
}
