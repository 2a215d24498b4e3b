// Converts weights from the type of the file to that of the computation, and checks every element.
//
// A block of weights is `majors` runs of `minors` consecutive elements: rows of W, or pieces of rows. One pass rounds them as the
// user asked, and finds the largest absolute value and the first element that is NaN or infinite.
#include "common.cuh"
#include "weights.cuh"

// The place of a block in its tensor: run r begins at element first + r * pitch.
struct Place {
    unsigned long long first;
    unsigned long long pitch;
};

// Calls use(major, minor, value) for every element, and updates `scan`. Any grid; no shared memory.
template <typename Source, typename Use>
__device__ void scan_elements(const Source *source, unsigned long long majors, unsigned long long minors, Place place,
                              unsigned cast, ElementScan *scan, Use use) {
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
#define WIDEN(Source, Target)                                                                                               \
    (const Source *source, unsigned long long majors, unsigned long long minors, unsigned long long first,                  \
     unsigned long long pitch, unsigned cast, double scale, Target *target, unsigned long long major_stride,                \
     unsigned long long minor_stride, ElementScan *scan) {                                                                  \
        scan_elements(source, majors, minors, Place{first, pitch}, cast, scan,                                              \
                      [=](unsigned long long major, unsigned long long minor, double value) {                               \
                          target[major * major_stride + minor * minor_stride] = Target(value * scale);                      \
                      });                                                                                                   \
    }

// Only checks the elements, for weights that are multiplied in the type of the file.
#define SCAN(Source)                                                                                                        \
    (const Source *source, unsigned long long majors, unsigned long long minors, unsigned long long first,                  \
     unsigned long long pitch, ElementScan *scan) {                                                                         \
        scan_elements(source, majors, minors, Place{first, pitch}, CAST_NONE, scan,                                         \
                      [](unsigned long long, unsigned long long, double) {});                                               \
    }

KERNEL(widen_bf16_f32) WIDEN(Bf16, float)
KERNEL(widen_bf16_f64) WIDEN(Bf16, double)
KERNEL(widen_f16_f32) WIDEN(F16, float)
KERNEL(widen_f16_f64) WIDEN(F16, double)
KERNEL(widen_f32_f32) WIDEN(F32, float)
KERNEL(widen_f32_f64) WIDEN(F32, double)
KERNEL(widen_f64_f32) WIDEN(F64, float)
KERNEL(widen_f64_f64) WIDEN(F64, double)
KERNEL(scan_bf16) SCAN(Bf16)
KERNEL(scan_f16) SCAN(F16)
