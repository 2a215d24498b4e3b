// Weights as they lie in the file to the precision of the computation, and a look at every element.
//
// The bytes of a tensor need no alignment, so elements are put together from bytes. The largest absolute value and the
// first element that is NaN or infinite come out of the same pass.
#include "common.cuh"

// What a pass found; the host sets it to {~0, 0} beforehand. Both members only ever grow towards the result by integer
// atomics, whose order does not matter.
struct Scan {
    // Index of the first element that is not finite.
    unsigned long long first_bad;
    // Bits of the largest finite absolute value, as a double: non-negative doubles are ordered like their bits.
    unsigned long long largest;
};

__device__ inline double from_bf16(unsigned bits) { return double(__uint_as_float(bits << 16)); }

__device__ inline double from_f16(unsigned bits) {
    const unsigned exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent == 0) {
        return sign * double(mantissa) * 5.9604644775390625e-08; // 2^-24
    }
    if (exponent == 31) {
        return mantissa ? __longlong_as_double(0x7ff8000000000000ll) : sign * infinity();
    }
    return double(__uint_as_float((bits & 0x8000) << 16 | (exponent + 112) << 23 | mantissa << 13));
}

struct Bf16 {
    static constexpr unsigned BYTES = 2;
    __device__ static double read(const unsigned char *b) { return from_bf16(b[0] | b[1] << 8); }
};

struct F16 {
    static constexpr unsigned BYTES = 2;
    __device__ static double read(const unsigned char *b) { return from_f16(b[0] | b[1] << 8); }
};

struct F32 {
    static constexpr unsigned BYTES = 4;
    __device__ static double read(const unsigned char *b) {
        return double(__uint_as_float(b[0] | b[1] << 8 | b[2] << 16 | unsigned(b[3]) << 24));
    }
};

struct F64 {
    static constexpr unsigned BYTES = 8;
    __device__ static double read(const unsigned char *b) {
        unsigned long long bits = 0;
        for (int k = 7; k >= 0; k--) {
            bits = bits << 8 | b[k];
        }
        return __longlong_as_double((long long)bits);
    }
};

// target[i] = element i of source times scale, for `count` elements, the first of which is element `first` of its tensor.
// Any grid; no shared memory.
template <typename Source, typename Target>
__device__ void widen(const unsigned char *source, unsigned long long first, unsigned long long count, double scale,
                      Target *target, Scan *scan) {
    unsigned long long bad = ~0ull;
    double largest = 0.0;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const double value = Source::read(source + i * Source::BYTES);
        target[i] = Target(value * scale);
        const double size = fabs(value);
        if (!(size < infinity())) {
            bad = bad < first + i ? bad : first + i;
        } else if (size > largest) {
            largest = size;
        }
    }
    largest = warp_max(largest);
    if (threadIdx.x % WARP == 0) {
        atomicMax(&scan->largest, (unsigned long long)__double_as_longlong(largest));
    }
    if (bad != ~0ull) {
        atomicMin(&scan->first_bad, bad);
    }
}

#define WIDEN(name, Source, Target)                                                                                         \
    extern "C" __global__ void name(const unsigned char *source, unsigned long long first, unsigned long long count,        \
                                    double scale, Target *target, Scan *scan) {                                             \
        widen<Source>(source, first, count, scale, target, scan);                                                           \
    }

WIDEN(widen_bf16_f32, Bf16, float)
WIDEN(widen_bf16_f64, Bf16, double)
WIDEN(widen_f16_f32, F16, float)
WIDEN(widen_f16_f64, F16, double)
WIDEN(widen_f32_f32, F32, float)
WIDEN(widen_f32_f64, F32, double)
WIDEN(widen_f64_f32, F64, float)
WIDEN(widen_f64_f64, F64, double)
