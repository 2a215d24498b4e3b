// First stage of the tridiagonalization: a full symmetric matrix to a band matrix of BAND subdiagonals, a panel of BAND columns
// at a time (Bischof, Lang and Sun, ACM Trans. Math. Softw. 26, 2000). cuBLAS computes the products; the kernels here do the
// rest: the QR factorization of a panel, the factors of its reflectors' product, scaling, and copying the band out.
//
// A panel is `rows` x BAND: the columns of the matrix from some column on, below the diagonal block. Its QR factorization takes
// a launch per column, because a launch is the cheapest barrier between all multiprocessors that every GPU has: each launch
// applies the reflector whose norm and dot products the launch before has summed, and sums those of the next column.
//
// With V the reflectors' vectors, H = I - V T V^T (Schreiber and Van Loan, 1989) and A the rest of the matrix, H^T A H is
// A - V X^T - X V^T where X = Z T - V (T^T S T) / 2, Z = A V and S = V^T Z. The updates of several panels are applied together;
// until then, Z and the columns of the next panel are corrected for the updates that wait.
#include "common.cuh"

// Rows of a panel for each lane.
constexpr unsigned ROUNDS = PANEL_ROWS / WARP;
// Columns that a warp takes, of blocks of THREADS.
constexpr unsigned PANEL_WARPS = THREADS / WARP;
constexpr unsigned PANEL_COLUMNS = BAND / PANEL_WARPS;
// The warps of a block divide X by columns into this many parts, and by rows.
constexpr unsigned COMBINED_PARTS = 4, COMBINED_COLUMNS = BAND / COMBINED_PARTS;
static_assert(COMBINED_ROWS == PANEL_WARPS / COMBINED_PARTS * WARP, "each warp has its rows and columns");

// The matrix times a power of two, in place.
template <typename T> __device__ void scale(T *matrix, unsigned long long count, T factor) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        matrix[i] *= factor;
    }
}

// Sums over the lanes, in every lane. Several values take the time of one.
template <unsigned COUNT, typename T> __device__ void warp_sums(T *values) {
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2) {
        UNROLL
        for (unsigned i = 0; i < COUNT; i++) {
            values[i] += __shfl_xor_sync(ALL_LANES, values[i], offset);
        }
    }
}

// Launch number `column` of a panel's QR factorization, 0 to BAND: applies the reflector of the column before, and sums the
// products of this column with all others, below row number `column`.
//
// `panel` has columns `lead` apart. The vectors go to `vectors` and `again`, with columns `lead` apart, and R stays in the
// panel, above what is left there of the columns. `before` and `after` hold BAND sums of each block, then row number `column`;
// `taus` has BAND factors, and `overlaps` the products of the vectors, BAND x BAND, of which those above the diagonal are written.
//
// A launch takes no longer than a few reads one after the other, so everything is read first.
template <typename T>
__device__ void panel_column(T *panel, unsigned rows, unsigned long long lead, unsigned column, const T *before, T *after,
                             T *vectors, T *again, T *taus, T *overlaps) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned first = blockIdx.x * PANEL_ROWS + lane;
    // The columns of this warp, then the one before, and this one.
    constexpr unsigned DONE = PANEL_COLUMNS, CURRENT = PANEL_COLUMNS + 1, ALL = PANEL_COLUMNS + 2;
    const unsigned done = column - 1;
    unsigned columns[ALL];
    T heads[ALL], sums[ALL], values[ALL][ROUNDS];
    UNROLL
    for (unsigned c = 0; c < ALL; c++) {
        columns[c] = c < PANEL_COLUMNS ? c * PANEL_WARPS + warp : c == DONE ? done : column;
        const bool exists = columns[c] < BAND;
        const T *source = columns[c] < done && column > 0 ? vectors : panel;
        UNROLL
        for (unsigned i = 0; i < ROUNDS; i++) {
            const unsigned row = first + i * WARP;
            values[c][i] = exists && row < rows ? source[columns[c] * lead + row] : T(0);
        }
        heads[c] = column > 0 && exists ? before[BAND * gridDim.x + columns[c]] : T(0);
        sums[c] = 0;
    }
    // Two blocks at a time: one read waits as long as many.
    for (unsigned block = lane; column > 0 && block < gridDim.x; block += 2 * WARP) {
        T parts[2][ALL];
        UNROLL
        for (unsigned c = 0; c < ALL; c++) {
            const T *of_column = before + columns[c] * gridDim.x;
            parts[0][c] = columns[c] < BAND ? of_column[block] : T(0);
            parts[1][c] = columns[c] < BAND && block + WARP < gridDim.x ? of_column[block + WARP] : T(0);
        }
        UNROLL
        for (unsigned c = 0; c < ALL; c++) {
            sums[c] += parts[0][c] + parts[1][c];
        }
    }
    warp_sums<ALL>(sums);
    // The reflector I - tau v v^T of the column before: v is `inverse` times that column, below a 1.
    T tau = 0, inverse = 0, beta = heads[DONE];
    if (sums[DONE] > negligible(beta)) {
        const T alpha = beta;
        const T norm = square_root(alpha * alpha + sums[DONE]);
        beta = alpha > 0 ? -norm : norm;
        tau = (beta - alpha) / beta;
        inverse = 1 / (alpha - beta);
    }
    const T step = tau * (heads[CURRENT] + sums[CURRENT] * inverse);
    UNROLL
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned row = first + i * WARP;
        T v = 0;
        if (column > 0 && row < rows) {
            v = row > done ? values[DONE][i] * inverse : row == done ? T(1) : T(0);
        }
        values[DONE][i] = v;
        values[CURRENT][i] -= step * v;
    }
    // One warp changes this column now; all have read it.
    __syncthreads();
    T products[PANEL_COLUMNS];
    UNROLL
    for (unsigned c = 0; c < PANEL_COLUMNS; c++) {
        const unsigned other = columns[c];
        // v_other . v_done, or what the reflector takes from a column to come.
        const T product = heads[c] + sums[c] * inverse;
        const bool is_done = column > 0 && other == done, is_old = column > 0 && other < done;
        if (blockIdx.x == 0 && lane == 0) {
            if (is_old) {
                overlaps[done * BAND + other] = product;
            }
            if (is_done) {
                taus[done] = tau;
            }
        }
        products[c] = 0;
        UNROLL
        for (unsigned i = 0; i < ROUNDS; i++) {
            const unsigned row = first + i * WARP;
            if (row >= rows) {
                continue;
            }
            T value = values[c][i];
            if (is_done) {
                value = values[DONE][i];
                vectors[other * lead + row] = value;
                again[other * lead + row] = value;
                if (row == done) {
                    panel[other * lead + row] = beta;
                }
            } else if (!is_old && column > 0 && row >= done) {
                value = other == column ? values[CURRENT][i] : value - tau * product * values[DONE][i];
                panel[other * lead + row] = value;
            }
            if (row > column) {
                products[c] += values[CURRENT][i] * value;
            }
            if (row == column) {
                after[BAND * gridDim.x + other] = value;
            }
        }
    }
    warp_sums<PANEL_COLUMNS>(products);
    if (lane == 0) {
        UNROLL
        for (unsigned c = 0; c < PANEL_COLUMNS; c++) {
            after[columns[c] * gridDim.x + blockIdx.x] = products[c];
        }
    }
    // Row number `column` does not exist.
    if (column >= rows && blockIdx.x == 0 && threadIdx.x < BAND) {
        after[BAND * gridDim.x + threadIdx.x] = 0;
    }
}

// The factors of X = Z T + V M from S: T above M = -(T^T S T) / 2, columns 2 BAND apart. One block of BAND x BAND threads; shared
// memory: 2 BAND (BAND + 1) numbers.
template <typename T> __device__ void panel_factors(const T *taus, const T *overlaps, const T *projection, T *factors) {
    constexpr unsigned PITCH = BAND + 1;
    const unsigned lane = threadIdx.x % WARP, row = threadIdx.x / WARP;
    T *t = shared_memory<T>();
    T *product = t + BAND * PITCH;
    // A row of T takes that row alone: T_ik = -tau_k sum_l T_il (v_l . v_k), T_kk = tau_k. Lane l keeps T_il.
    T element = 0;
    for (unsigned k = row; k < BAND; k++) {
        const T tau = taus[k];
        const T overlap = lane < k ? overlaps[k * BAND + lane] : 0;
        const T sum = warp_sum(element * overlap);
        if (lane == k) {
            element = k == row ? tau : -tau * sum;
        }
    }
    t[row * PITCH + lane] = element;
    __syncthreads();
    T sum = 0;
    for (unsigned l = 0; l < BAND; l++) {
        sum += projection[l * BAND + row] * t[l * PITCH + lane];
    }
    product[row * PITCH + lane] = sum;
    __syncthreads();
    sum = 0;
    for (unsigned l = 0; l < BAND; l++) {
        sum += t[l * PITCH + row] * product[l * PITCH + lane];
    }
    factors[lane * 2 * BAND + row] = element;
    factors[lane * 2 * BAND + BAND + row] = sum / -2;
}

// X = Z T + V M, written to both `x` and `again`; all have columns `lead` apart. Blocks of THREADS take COMBINED_ROWS rows each;
// shared memory: 2 BAND BAND numbers.
template <typename T>
__device__ void panel_combine(const T *z, const T *vectors, unsigned rows, unsigned long long lead, const T *factors, T *x,
                              T *again) {
    T *shared = shared_memory<T>();
    for (unsigned i = threadIdx.x; i < 2 * BAND * BAND; i += blockDim.x) {
        shared[i] = factors[i];
    }
    __syncthreads();
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned row = blockIdx.x * COMBINED_ROWS + warp / COMBINED_PARTS * WARP + lane;
    const unsigned first = warp % COMBINED_PARTS * COMBINED_COLUMNS;
    if (row >= rows) {
        return;
    }
    T sums[COMBINED_COLUMNS] = {};
    UNROLL
    for (unsigned l = 0; l < BAND; l++) {
        const T of_z = z[l * lead + row], of_v = vectors[l * lead + row];
        UNROLL
        for (unsigned c = 0; c < COMBINED_COLUMNS; c++) {
            const T *column = shared + (first + c) * 2 * BAND;
            sums[c] += of_z * column[l];
            sums[c] += of_v * column[BAND + l];
        }
    }
    UNROLL
    for (unsigned c = 0; c < COMBINED_COLUMNS; c++) {
        x[(first + c) * lead + row] = sums[c];
        again[(first + c) * lead + row] = sums[c];
    }
}

// The band of a matrix: for each column 2 BAND numbers from the diagonal on, zero beyond the band; then zeros for BAND more
// columns. Threads stride over all.
template <typename T> __device__ void take_band(const T *matrix, unsigned n, T *band) {
    const unsigned count = (n + BAND) * 2 * BAND;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        const unsigned column = i / (2 * BAND), below = i % (2 * BAND);
        const bool inside = below <= BAND && column + below < n;
        band[i] = inside ? matrix[(unsigned long long)column * n + column + below] : 0;
    }
}

KERNEL(scale_f32)(float *matrix, unsigned long long count, double factor) {
    scale(matrix, count, float(factor));
}

KERNEL(scale_f64)(double *matrix, unsigned long long count, double factor) {
    scale(matrix, count, factor);
}

KERNEL(panel_column_f32)(float *panel, unsigned rows, unsigned long long lead, unsigned column, const float *before, float *after,
                         float *vectors, float *again, float *taus, float *overlaps) {
    panel_column(panel, rows, lead, column, before, after, vectors, again, taus, overlaps);
}

KERNEL(panel_column_f64)(double *panel, unsigned rows, unsigned long long lead, unsigned column, const double *before,
                         double *after, double *vectors, double *again, double *taus, double *overlaps) {
    panel_column(panel, rows, lead, column, before, after, vectors, again, taus, overlaps);
}

KERNEL(panel_factors_f32)(const float *taus, const float *overlaps, const float *projection, float *factors) {
    panel_factors(taus, overlaps, projection, factors);
}

KERNEL(panel_factors_f64)(const double *taus, const double *overlaps, const double *projection, double *factors) {
    panel_factors(taus, overlaps, projection, factors);
}

KERNEL(panel_combine_f32)(const float *z, const float *vectors, unsigned rows, unsigned long long lead, const float *factors,
                          float *x, float *again) {
    panel_combine(z, vectors, rows, lead, factors, x, again);
}

KERNEL(panel_combine_f64)(const double *z, const double *vectors, unsigned rows, unsigned long long lead, const double *factors,
                          double *x, double *again) {
    panel_combine(z, vectors, rows, lead, factors, x, again);
}

KERNEL(take_band_f32)(const float *matrix, unsigned n, float *band) { take_band(matrix, n, band); }

KERNEL(take_band_f64)(const double *matrix, unsigned n, double *band) { take_band(matrix, n, band); }
