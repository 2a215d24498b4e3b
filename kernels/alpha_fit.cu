// The power-law fit of many spectra at once, by the rules of src/fit, which is the specification.
//
// A batch is ragged: spectrum b is values[offsets[b] .. offsets[b + 1]], ascending. Three kernels in order: `fit_prepare`
// computes logarithms and suffix sums and finds the candidates of the rule, `fit_distances` computes alpha and the KS distance
// of each candidate, one warp per candidate, and `fit_select` picks the best. All sums are f64 in a fixed order, and no
// floating-point number is added atomically: the result does not depend on the batch or the schedule.
#include "common.cuh"

// The relative error of a value of a spectrum.
__device__ inline double relative_error(const DeviceAccuracy &accuracy, unsigned index, double value) {
    if (index == 0 && accuracy.smallest >= 0.0) {
        return accuracy.smallest;
    }
    return value > 0.0 ? accuracy.eta / value + 2.0 * accuracy.delta / sqrt(value) : infinity();
}

// The left edge of the first fullest of 100 equal bins of log10 x; 0 if all values are equal. `counts` is shared.
__device__ double histogram_peak(const double *x, unsigned n, unsigned *counts) {
    for (unsigned bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
        counts[bin] = 0;
    }
    __syncthreads();
    const double low = log10(x[0]);
    const double width = log10(x[n - 1]) - low;
    if (!(width > 0.0)) {
        return 0.0;
    }
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        const unsigned bin = unsigned((log10(x[i]) - low) / width * BINS);
        atomicAdd(&counts[bin < BINS ? bin : BINS - 1], 1u);
    }
    __syncthreads();
    unsigned fullest = 0;
    for (unsigned bin = 1; bin < BINS; bin++) {
        if (counts[bin] > counts[fullest]) {
            fullest = bin;
        }
    }
    return pow(10.0, low + width * double(fullest) / double(BINS));
}

// suffix[i] = sum of logs[j] over j >= i, by a scan over tiles from the end. `sums` is shared, 2 doubles per thread.
__device__ void suffix_sums(const double *logs, unsigned n, double *suffix, double *sums) {
    double carry = 0.0;
    for (unsigned tile = 0; tile < n; tile += blockDim.x) {
        const bool inside = tile + threadIdx.x < n;
        const unsigned index = n - 1 - (tile + threadIdx.x);
        double *from = sums, *to = sums + blockDim.x;
        from[threadIdx.x] = inside ? logs[index] : 0.0;
        for (unsigned distance = 1; distance < blockDim.x; distance *= 2) {
            __syncthreads();
            const double before = threadIdx.x >= distance ? from[threadIdx.x - distance] : 0.0;
            to[threadIdx.x] = from[threadIdx.x] + before;
            double *swap = from;
            from = to;
            to = swap;
        }
        __syncthreads();
        if (inside) {
            suffix[index] = carry + from[threadIdx.x];
        }
        carry += from[blockDim.x - 1];
        __syncthreads();
    }
}

// One block per spectrum. Shared memory: 2 doubles per thread, and FIT_COUNTERS unsigned.
KERNEL(fit_prepare)(const double *values, const unsigned long long *offsets, const DeviceAccuracy *accuracies, unsigned rule,
                    double *logs, double *suffix, Candidates *candidates) {
    const unsigned long long offset = offsets[blockIdx.x];
    const unsigned n = unsigned(offsets[blockIdx.x + 1] - offset);
    const double *x = values + offset;
    const DeviceAccuracy accuracy = accuracies[blockIdx.x];
    if (n < MIN_EIGENVALUES) {
        if (threadIdx.x == 0) {
            candidates[blockIdx.x] = {0, 0, FIT_TOO_FEW, 0};
        }
        return;
    }
    double *sums = shared_memory<double>();
    unsigned *counts = reinterpret_cast<unsigned *>(sums + 2 * blockDim.x);
    unsigned *known = counts + BINS, *below = known + 1, *within = known + 2;
    if (threadIdx.x < 3) {
        known[threadIdx.x] = 0;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        logs[offset + i] = log(x[i]);
        if (relative_error(accuracy, i, x[i]) >= 1.0) {
            atomicMax(known, i + 1);
        }
    }
    __syncthreads();
    suffix_sums(logs + offset, n, suffix + offset, sums);
    const unsigned first = *known;

    Candidates found = {first, n - 1, FIT_OK, 0};
    if (rule == RULE_MEDIAN) {
        found.begin = n / 2;
        while (found.begin > 0 && x[found.begin - 1] == x[found.begin]) {
            found.begin--;
        }
        found.end = found.begin + 1;
        found.status = found.begin < first ? FIT_RANK_DEFICIENT : FIT_OK;
    } else if (rule == RULE_KS) {
        found.status = found.begin >= found.end ? FIT_RANK_DEFICIENT : FIT_OK;
    } else if (relative_error(accuracy, 0, x[0]) >= 1.0) {
        found.status = FIT_RANK_DEFICIENT;
    } else {
        const double peak = histogram_peak(x, n, counts);
        // The published codes compare plain values with this logarithm; it only widens the window.
        const double low = log10(0.95 * peak), high = 1.5 * peak;
        for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
            if (x[i] < low) {
                atomicAdd(below, 1u);
            }
            if (x[i] <= high) {
                atomicAdd(within, 1u);
            }
        }
        __syncthreads();
        found.begin = *below > first ? *below : first;
        found.end = *within < n - 1 ? *within : n - 1;
        found.status = peak > 0.0 && found.begin < found.end ? FIT_OK : FIT_NO_TAIL;
    }
    if (threadIdx.x == 0) {
        candidates[blockIdx.x] = found;
    }
}

// alpha and the KS distance of every candidate; the distance is infinite where rounding hides alpha, and for all but the first of
// equal values, because a tail holds all of them. The warps of blockIdx.x =
// 0, 1 ... take the candidates of spectrum blockIdx.y in turn. blockDim.x is a multiple of WARP; no shared memory.
KERNEL(fit_distances)(const double *values, const unsigned long long *offsets, const DeviceAccuracy *accuracies,
                      const double *logs, const double *suffix, const Candidates *candidates, double *alphas,
                      double *distances) {
    const Candidates range = candidates[blockIdx.y];
    if (range.status != FIT_OK) {
        return;
    }
    const unsigned long long offset = offsets[blockIdx.y];
    const unsigned n = unsigned(offsets[blockIdx.y + 1] - offset);
    const double *ln = logs + offset;
    const DeviceAccuracy accuracy = accuracies[blockIdx.y];
    const unsigned lane = threadIdx.x % WARP;
    const unsigned warps = gridDim.x * (blockDim.x / WARP);
    const unsigned warp = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    for (unsigned i = range.begin + warp; i < range.end; i += warps) {
        const double tail = double(n - i);
        const double mean_excess = (suffix[offset + i] - tail * ln[i]) / tail;
        const double known = fmax(relative_error(accuracy, i, values[offset + i]), 8.0 * EPSILON * fabs(ln[i]));
        const double *x = values + offset;
        if (!(mean_excess > known) || (i > 0 && x[i - 1] == x[i])) {
            if (lane == 0) {
                distances[offset + i] = infinity();
            }
            continue;
        }
        const double alpha = 1.0 + 1.0 / mean_excess;
        double distance = 0.0;
        for (unsigned j = lane; j < n - i; j += WARP) {
            const double fitted = 1.0 - exp((1.0 - alpha) * (ln[i + j] - ln[i]));
            distance = fmax(distance, fabs(fitted - double(j) / tail));
        }
        distance = warp_max(distance);
        if (lane == 0) {
            alphas[offset + i] = alpha;
            distances[offset + i] = distance;
        }
    }
}

// The candidate with the smallest distance; of equal ones the first. One block per spectrum, any power of two of threads;
// shared memory: a double and an unsigned per thread.
KERNEL(fit_select)(const unsigned long long *offsets, const Candidates *candidates, const double *alphas,
                   const double *distances, DeviceFit *fits) {
    const Candidates range = candidates[blockIdx.x];
    const unsigned long long offset = offsets[blockIdx.x];
    if (range.status != FIT_OK) {
        if (threadIdx.x == 0) {
            fits[blockIdx.x] = {0.0, 0.0, 0, range.status};
        }
        return;
    }
    double *best = shared_memory<double>();
    unsigned *start = reinterpret_cast<unsigned *>(best + blockDim.x);
    double distance = infinity();
    unsigned index = range.end;
    for (unsigned i = range.begin + threadIdx.x; i < range.end; i += blockDim.x) {
        if (distances[offset + i] < distance) {
            distance = distances[offset + i];
            index = i;
        }
    }
    best[threadIdx.x] = distance;
    start[threadIdx.x] = index;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            const double other = best[threadIdx.x + half];
            const unsigned other_start = start[threadIdx.x + half];
            if (other < best[threadIdx.x] || (other == best[threadIdx.x] && other_start < start[threadIdx.x])) {
                best[threadIdx.x] = other;
                start[threadIdx.x] = other_start;
            }
        }
    }
    if (threadIdx.x == 0) {
        const bool found = best[0] < infinity();
        fits[blockIdx.x] = found ? DeviceFit{alphas[offset + start[0]], best[0], start[0], FIT_OK}
                                 : DeviceFit{0.0, 0.0, 0, FIT_NO_TAIL};
    }
}
