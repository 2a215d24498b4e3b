// Weights as they lie in the file to the precision of the computation, and a look at every element.
//
// A block of weights stands in memory as `majors` runs of `minors` consecutive elements: rows of W, or pieces of rows. The
// rounding that the user asked for, the largest absolute value, and the first element that is NaN or infinite come out of
// the same pass.
#include "common.cuh"

// What a pass found; the host sets it to {~0, 0} beforehand. Both members only ever move towards the result by integer
// atomics, whose order does not matter.
struct Scan {
    // Index, in its tensor, of the first element that is not finite.
    unsigned long long first_bad;
    // Bits of the largest finite absolute value, as a double: non-negative doubles are ordered like their bits.
    unsigned long long largest;
};

// Where the elements of a block lie in their tensor: run r begins at element first + r * pitch.
struct Place {
    unsigned long long first;
    unsigned long long pitch;
};

enum Cast : unsigned { NONE = 0, FP16 = 1, BF16 = 2 };

struct Bf16 {
    unsigned short bits;
    __device__ double value() const { return double(__uint_as_float(unsigned(bits) << 16)); }
};

struct F16 {
    unsigned short bits;
    __device__ double value() const {
        const unsigned exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
        const double sign = bits & 0x8000 ? -1.0 : 1.0;
        if (exponent == 0) {
            return sign * double(mantissa) * 5.9604644775390625e-08; // 2^-24
        }
        if (exponent == 31) {
            return mantissa ? __longlong_as_double(0x7ff8000000000000ll) : sign * infinity();
        }
        return double(__uint_as_float((bits & 0x8000u) << 16 | (exponent + 112) << 23 | mantissa << 13));
    }
};

struct F32 {
    float bits;
    __device__ double value() const { return double(bits); }
};

struct F64 {
    double bits;
    __device__ double value() const { return bits; }
};

// The nearest number with so many binary digits, ties to even; subnormal below 2^lowest, infinite above `largest`.
__device__ inline double round_to(double value, int digits, int lowest, double largest) {
    if (!(fabs(value) < infinity())) {
        return value;
    }
    const int exponent = int(__double_as_longlong(value) >> 52 & 0x7ff) - 1023;
    const int last = (exponent > lowest ? exponent : lowest) - digits + 1;
    const double unit = __longlong_as_double((long long)(last + 1023) << 52);
    // Scaling by a power of two is exact, so that this rounds once.
    const double rounded = rint(value / unit) * unit;
    return fabs(rounded) <= largest ? rounded : copysign(infinity(), value);
}

__device__ inline double apply(unsigned cast, double value) {
    if (cast == FP16) {
        return round_to(value, 11, -14, 65504.0);
    }
    if (cast == BF16) {
        return round_to(value, 8, -126, 3.3895313892515355e38);
    }
    return value;
}

// Calls use(major, minor, value) for every element, and enters what it sees into `scan`. Any grid; no shared memory.
template <typename Source, typename Use>
__device__ void look(const Source *source, unsigned long long majors, unsigned long long minors, Place place, unsigned cast,
                     Scan *scan, Use use) {
    unsigned long long bad = ~0ull;
    double largest = 0.0;
    for (unsigned long long major = blockIdx.y; major < majors; major += gridDim.y) {
        const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
        for (unsigned long long minor = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; minor < minors;
             minor += step) {
            const double value = apply(cast, source[major * minors + minor].value());
            use(major, minor, value);
            const double size = fabs(value);
            if (!(size < infinity())) {
                const unsigned long long index = place.first + major * place.pitch + minor;
                bad = bad < index ? bad : index;
            } else if (size > largest) {
                largest = size;
            }
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

// target[major * major_stride + minor * minor_stride] = scale times the element, rounded once.
#define WIDEN(name, Source, Target)                                                                                         \
    extern "C" __global__ void name(const Source *source, unsigned long long majors, unsigned long long minors,             \
                                    unsigned long long first, unsigned long long pitch, unsigned cast, double scale,        \
                                    Target *target, unsigned long long major_stride, unsigned long long minor_stride,       \
                                    Scan *scan) {                                                                           \
        look(source, majors, minors, Place{first, pitch}, cast, scan,                                                       \
             [=](unsigned long long major, unsigned long long minor, double value) {                                        \
                 target[major * major_stride + minor * minor_stride] = Target(value * scale);                               \
             });                                                                                                            \
    }

// Only the look, for weights that are multiplied as they are.
#define SCAN(name, Source)                                                                                                  \
    extern "C" __global__ void name(const Source *source, unsigned long long majors, unsigned long long minors,             \
                                    unsigned long long first, unsigned long long pitch, Scan *scan) {                       \
        look(source, majors, minors, Place{first, pitch}, NONE, scan,                                                       \
             [](unsigned long long, unsigned long long, double) {});                                                        \
    }

WIDEN(widen_bf16_f32, Bf16, float)
WIDEN(widen_bf16_f64, Bf16, double)
WIDEN(widen_f16_f32, F16, float)
WIDEN(widen_f16_f64, F16, double)
WIDEN(widen_f32_f32, F32, float)
WIDEN(widen_f32_f64, F32, double)
WIDEN(widen_f64_f32, F64, float)
WIDEN(widen_f64_f64, F64, double)
SCAN(scan_bf16, Bf16)
SCAN(scan_f16, F16)
