// Second stage of the tridiagonalization: a band matrix to a tridiagonal one, by chasing bulges.
//
// Sweep s takes column s to tridiagonal form with a reflector of length BAND. Its other side fills a block below the band, whose
// first column the next reflector clears, and so on down the matrix; the rest of each bulge stays for the next sweep (Lang,
// SIAM J. Sci. Comput. 14, 1993). Step k of a sweep touches BAND columns, and may run once the sweep before has done step
// k + 1, so that many sweeps follow each other down the band, each a block of its own.
//
// Blocks take sweeps in order, from a counter: a block only ever waits for a sweep that some block has begun, however few blocks
// fit on the GPU at a time.
#include "common.cuh"

constexpr unsigned LEAD = BAND_LEAD;
// Columns of a block of the matrix that a warp takes, of thread blocks of THREADS.
constexpr unsigned CHASE_WARPS = THREADS / WARP;
constexpr unsigned CHASE_COLUMNS = BAND / CHASE_WARPS;
// The step count of a finished sweep.
constexpr unsigned ALL_STEPS = 0xffffffffu;

// A reflector I - tau v v^T: every lane has its own element of v.
template <typename T> struct Reflector {
    T v;
    T tau;
    T beta;
};

// The reflector that clears all but the first element of x, which becomes beta; every lane has its own element of x.
template <typename T> __device__ Reflector<T> reflector(T x) {
    const unsigned lane = threadIdx.x % WARP;
    const T square = warp_sum(lane == 0 ? T(0) : x * x);
    const T alpha = __shfl_sync(ALL_LANES, x, 0);
    Reflector<T> result = {lane == 0 ? T(1) : T(0), 0, alpha};
    if (square > negligible(square)) {
        const T norm = square_root(alpha * alpha + square);
        result.beta = alpha > 0 ? -norm : norm;
        result.tau = (result.beta - alpha) / result.beta;
        result.v = lane == 0 ? T(1) : x / (alpha - result.beta);
    }
    return result;
}

// Runs sweeps until none is left. `band` is as take_band leaves it; `progress` has the counter, then a number for each sweep,
// all zero. Shared memory: 2 BAND (BAND + 1) + 2 BAND numbers, and one unsigned.
template <typename T> __device__ void chase(T *band, unsigned n, unsigned *progress) {
    constexpr unsigned PITCH = BAND + 1;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    T *diagonal = shared_memory<T>();
    T *below = diagonal + BAND * PITCH;
    // D v and B v.
    T *along = below + BAND * PITCH;
    T *across = along + BAND;
    unsigned *ticket = reinterpret_cast<unsigned *>(across + BAND);
    unsigned *counter = progress++;
    for (;;) {
        if (threadIdx.x == 0) {
            *ticket = atomicAdd(counter, 1u);
        }
        __syncthreads();
        const unsigned sweep = *ticket;
        if (sweep + 2 >= n) {
            return;
        }
        Reflector<T> h = {0, 0, 0};
        unsigned step = 0;
        for (unsigned column = sweep + 1; column < n; column += BAND, step++) {
            if (threadIdx.x == 0 && sweep > 0) {
                wait_for(progress + sweep - 1, step + 2);
            }
            __syncthreads();
            if (step == 0) {
                // Every warp computes the same reflector; none has written yet.
                T *x = band + (unsigned long long)sweep * LEAD + 1;
                h = reflector(load_fresh(x + lane));
                __syncthreads();
                if (warp == 0) {
                    x[lane] = lane == 0 ? h.beta : T(0);
                }
            }
            const bool has_below = column + BAND < n;
            T *corner = band + (unsigned long long)column * LEAD;
            for (unsigned c = 0; c < CHASE_COLUMNS; c++) {
                const unsigned j = c * CHASE_WARPS + warp;
                if (lane >= j) {
                    const T value = load_fresh(corner + j * LEAD + lane - j);
                    diagonal[j * PITCH + lane] = value;
                    diagonal[lane * PITCH + j] = value;
                }
                if (has_below) {
                    below[j * PITCH + lane] = load_fresh(corner + j * LEAD + BAND + lane - j);
                }
            }
            __syncthreads();
            for (unsigned c = 0; c < CHASE_COLUMNS; c++) {
                const unsigned i = c * CHASE_WARPS + warp;
                const T product = warp_sum(diagonal[i * PITCH + lane] * h.v);
                const T under = has_below ? warp_sum(below[lane * PITCH + i] * h.v) : T(0);
                if (lane == 0) {
                    along[i] = product;
                    across[i] = under;
                }
            }
            __syncthreads();
            // D <- D - v w^T - w v^T with w = p - (tau / 2) (p^T v) v, p = tau D v.
            const T p = h.tau * along[lane];
            const T w = p - h.tau / 2 * warp_sum(p * h.v) * h.v;
            for (unsigned c = 0; c < CHASE_COLUMNS; c++) {
                const unsigned j = c * CHASE_WARPS + warp;
                const T vj = __shfl_sync(ALL_LANES, h.v, j), wj = __shfl_sync(ALL_LANES, w, j);
                if (lane >= j) {
                    corner[j * LEAD + lane - j] = diagonal[j * PITCH + lane] - h.v * wj - w * vj;
                }
            }
            if (has_below) {
                // B <- G B H, where G clears the first column of B H.
                const T y = h.tau * across[lane];
                const T head = __shfl_sync(ALL_LANES, h.v, 0);
                const Reflector<T> g = reflector(below[lane] - y * head);
                for (unsigned c = 0; c < CHASE_COLUMNS; c++) {
                    const unsigned j = c * CHASE_WARPS + warp;
                    const T vj = __shfl_sync(ALL_LANES, h.v, j);
                    const T value = below[j * PITCH + lane] - y * vj;
                    const T share = g.tau * warp_sum(value * g.v);
                    const T cleared = lane == 0 ? g.beta : T(0);
                    corner[j * LEAD + BAND + lane - j] = j == 0 ? cleared : value - share * g.v;
                }
                h = g;
            }
            publish(progress + sweep, has_below ? step + 1 : ALL_STEPS);
        }
    }
}

// Diagonal and subdiagonal, n numbers each, of a band after all sweeps, times a factor.
template <typename T> __device__ void take_tridiagonal(const T *band, unsigned n, T factor, T *diagonal, T *subdiagonal) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        diagonal[i] = band[(unsigned long long)i * LEAD] * factor;
        subdiagonal[i] = i + 1 < n ? band[(unsigned long long)i * LEAD + 1] * factor : 0;
    }
}

KERNEL(chase_f32)(float *band, unsigned n, unsigned *progress) { chase(band, n, progress); }

KERNEL(chase_f64)(double *band, unsigned n, unsigned *progress) { chase(band, n, progress); }

KERNEL(take_tridiagonal_f32)(const float *band, unsigned n, double factor, float *diagonal, float *subdiagonal) {
    take_tridiagonal(band, n, float(factor), diagonal, subdiagonal);
}

KERNEL(take_tridiagonal_f64)(const double *band, unsigned n, double factor, double *diagonal, double *subdiagonal) {
    take_tridiagonal(band, n, factor, diagonal, subdiagonal);
}
