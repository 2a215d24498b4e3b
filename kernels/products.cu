// Products of W with a vector, straight from its bytes, as if in twice the precision of f64 (Ogita, Rump and Oishi, SIAM J.
// Sci. Comput. 26, 2005, algorithm 5.3).
//
// A block of weights stands in memory as `majors` runs of `minors` consecutive elements: rows of W, or pieces of rows. A
// product along the runs gives a number for each of them, one across the runs a number for each of their elements. Both come
// in parts, which are added up afterwards. All sums are cut in the same way on every GPU, and so are the same.
#include "common.cuh"
#include "weights.cuh"

// A sum, and what its roundings have lost.
struct Sum {
    double value;
    double lost;
};

__device__ inline Sum plus(Sum sum, double x) {
    const double value = sum.value + x;
    const double added = value - sum.value;
    return {value, sum.lost + ((sum.value - (value - added)) + (x - added))};
}

__device__ inline Sum plus(Sum a, Sum b) {
    const Sum sum = plus(a, b.value);
    return {sum.value, sum.lost + b.lost};
}

__device__ inline Sum plus_product(Sum sum, double x, double y) {
    const double product = x * y;
    const Sum next = plus(sum, product);
    return {next.value, next.lost + fma(x, y, -product)};
}

// parts[r] = run r times `x`. A block of threads takes a run at a time; any grid. The number of threads, a power of two,
// decides how the sum is cut. Shared memory: a sum per thread.
template <typename Source>
__device__ void along(const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast,
                      double scale, const double *x, Sum *parts) {
    Sum *sums = shared_memory<Sum>();
    for (unsigned long long major = blockIdx.x; major < majors; major += gridDim.x) {
        const Source *run = source + major * minors;
        Sum sum = {0.0, 0.0};
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
        // The next run's sums take the place of those that thread 0 has just read.
        __syncthreads();
    }
}

// parts[s * minors + i] = element i of the sum of runs times their elements of `x`, over slice s of `height` runs. Any grid;
// no shared memory.
template <typename Source>
__device__ void across(const Source *source, unsigned long long majors, unsigned long long minors, unsigned cast,
                       double scale, const double *x, unsigned long long height, Sum *parts) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long slice = blockIdx.y; slice * height < majors; slice += gridDim.y) {
        const unsigned long long begin = slice * height;
        const unsigned long long end = begin + height < majors ? begin + height : majors;
        for (unsigned long long minor = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; minor < minors;
             minor += step) {
            Sum sum = {0.0, 0.0};
            for (unsigned long long major = begin; major < end; major++) {
                sum = plus_product(sum, apply(cast, source[major * minors + minor].value()) * scale, x[major]);
            }
            parts[slice * minors + minor] = sum;
        }
    }
}

#define PRODUCTS(along_name, across_name, Source)                                                                           \
    extern "C" __global__ void along_name(const Source *source, unsigned long long majors, unsigned long long minors,       \
                                          unsigned cast, double scale, const double *x, Sum *parts) {                       \
        along(source, majors, minors, cast, scale, x, parts);                                                               \
    }                                                                                                                       \
    extern "C" __global__ void across_name(const Source *source, unsigned long long majors, unsigned long long minors,      \
                                           unsigned cast, double scale, const double *x, unsigned long long height,         \
                                           Sum *parts) {                                                                    \
        across(source, majors, minors, cast, scale, x, height, parts);                                                      \
    }

PRODUCTS(product_along_bf16, product_across_bf16, Bf16)
PRODUCTS(product_along_f16, product_across_f16, F16)
PRODUCTS(product_along_f32, product_across_f32, F32)
PRODUCTS(product_along_f64, product_across_f64, F64)

// totals[i] = its former value, unless this is the first block, plus parts[s * count + i] for all s, in order; rounded[i] is
// that as one number. Any grid; no shared memory.
extern "C" __global__ void add_parts(const Sum *parts, unsigned long long count, unsigned long long slices,
                                     unsigned is_first, Sum *totals, double *rounded) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        Sum total = is_first ? Sum{0.0, 0.0} : totals[i];
        for (unsigned long long slice = 0; slice < slices; slice++) {
            total = plus(total, parts[slice * count + i]);
        }
        totals[i] = total;
        rounded[i] = total.value + total.lost;
    }
}
