// Weights as they lie in the file to the precision of the computation, and a look at every element.
//
// A block of weights stands in memory as `majors` runs of `minors` consecutive elements: rows of W, or pieces of rows. The
// rounding that the user asked for, the largest absolute value, and the first element that is NaN or infinite come out of
// the same pass.
#include "common.cuh"
#include "weights.cuh"

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
