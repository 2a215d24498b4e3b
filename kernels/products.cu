// Products of W with a vector, straight from its bytes, as if in twice the precision of f64 (Ogita, Rump and Oishi, SIAM J.
// Sci. Comput. 26, 2005, algorithm 5.3).
//
// A block of weights is `majors` runs of `minors` consecutive elements: rows of W, or pieces of rows. A product along the runs
// gives one number for each run, a product across the runs one number for each element of a run. Both come in parts, which are
// added up afterwards. All sums are divided in the same way on every GPU, so results do not depend on the GPU.
#include "common.cuh"
#include "weights.cuh"

__device__ inline CompensatedSum plus(CompensatedSum sum, double x) {
    const double value = sum.value + x;
    const double added = value - sum.value;
    return {value, sum.lost + ((sum.value - (value - added)) + (x - added))};
}

__device__ inline CompensatedSum plus(CompensatedSum a, CompensatedSum b) {
    const CompensatedSum sum = plus(a, b.value);
    return {sum.value, sum.lost + b.lost};
}

__device__ inline CompensatedSum plus_product(CompensatedSum sum, double x, double y) {
    const double product = x * y;
    const CompensatedSum next = plus(sum, product);
    return {next.value, next.lost + fma(x, y, -product)};
}

// parts[r] = run r times `x`. A block of threads takes a run at a time; any grid. The number of threads, a power of two,
// decides how the sum is divided. Shared memory: a sum per thread.
template <typename Source>
__device__ void along(const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast,
                      double scale, const double *x, CompensatedSum *parts) {
    CompensatedSum *sums = shared_memory<CompensatedSum>();
    for (unsigned long long major = blockIdx.x; major < majors; major += gridDim.x) {
        const Source *run = source + major * minors;
        CompensatedSum sum = {0.0, 0.0};
        for (unsigned long long minor = threadIdx.x; minor < minors; minor += blockDim.x) {
            sum = plus_product(sum, apply(cast, run[minor].value()) * scale, x[minor]);
        }
        sums[threadIdx.x] = sum;
        for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half) {
                sums[threadIdx.x] = plus(sums[threadIdx.x], sums[threadIdx.x + half]);
            }
        }
        if (threadIdx.x == 0) {
            parts[major] = sums[0];
        }
        // The next run's sums overwrite those that thread 0 has just read.
        __syncthreads();
    }
}

// parts[s * minors + i] = element i of the sum of runs times their elements of `x`, over slice s of `height` runs. Any grid;
// no shared memory.
template <typename Source>
__device__ void across(const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast,
                       double scale, const double *x, unsigned long long height, CompensatedSum *parts) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long slice = blockIdx.y; slice * height < majors; slice += gridDim.y) {
        const unsigned long long begin = slice * height;
        const unsigned long long end = begin + height < majors ? begin + height : majors;
        for (unsigned long long minor = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; minor < minors;
             minor += step) {
            CompensatedSum sum = {0.0, 0.0};
            for (unsigned long long major = begin; major < end; major++) {
                sum = plus_product(sum, apply(cast, source[major * minors + minor].value()) * scale, x[major]);
            }
            parts[slice * minors + minor] = sum;
        }
    }
}

#define ALONG(Source)                                                                                                       \
    (const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast, double scale,               \
     const double *x, CompensatedSum *parts) {                                                                              \
        along(source, majors, minors, cast, scale, x, parts);                                                               \
    }

#define ACROSS(Source)                                                                                                      \
    (const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast, double scale,               \
     const double *x, unsigned long long height, CompensatedSum *parts) {                                                   \
        across(source, majors, minors, cast, scale, x, height, parts);                                                      \
    }

KERNEL(product_along_bf16) ALONG(Bf16)
KERNEL(product_along_f16) ALONG(F16)
KERNEL(product_along_f32) ALONG(F32)
KERNEL(product_along_f64) ALONG(F64)
KERNEL(product_across_bf16) ACROSS(Bf16)
KERNEL(product_across_f16) ACROSS(F16)
KERNEL(product_across_f32) ACROSS(F32)
KERNEL(product_across_f64) ACROSS(F64)

// Adds parts[s * count + i] for all s, in order, to totals[i], which counts as zero if this is the first block; rounded[i] is
// the total as one number. Any grid; no shared memory.
KERNEL(add_parts)(const CompensatedSum *parts, unsigned long long count, unsigned long long slices, unsigned is_first,
                  CompensatedSum *totals, double *rounded) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        CompensatedSum total = is_first ? CompensatedSum{0.0, 0.0} : totals[i];
        for (unsigned long long slice = 0; slice < slices; slice++) {
            total = plus(total, parts[slice * count + i]);
        }
        totals[i] = total;
        rounded[i] = total.value + total.lost;
    }
}
