// What every kernel file needs. The same files are compiled by NVRTC or nvcc for a GPU, and as C++ for a CPU, where each
// CUDA thread is a fiber (crates/kernel-emulator): no standard header, no static shared memory, no fast-math.
#pragma once

#include "abi.cuh"

#ifdef HTSR_EMULATED
#include "emulation.h"
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
// All shared memory is dynamic: its size is a launch parameter, and an emulator can poison it.
template <typename T> __device__ inline T *shared_memory() {
    extern __shared__ __align__(16) unsigned char htsr_shared_bytes[];
    return reinterpret_cast<T *>(htsr_shared_bytes);
}
#endif

// Begins the definition of a kernel, at the start of a line. The build scripts find all kernels by these lines: there is no
// other list of them.
#define KERNEL(name) extern "C" __global__ void name

static_assert(BAND == WARP, "a lane for each subdiagonal");
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr double EPSILON = 2.220446049250313e-16;

__device__ inline double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }

// The largest of one value per lane, in every lane.
__device__ inline double warp_max(double value) {
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2) {
        double other = __shfl_xor_sync(ALL_LANES, value, offset);
        value = other > value ? other : value;
    }
    return value;
}

// The sum of one value per lane, in every lane; the same order of additions everywhere.
template <typename T> __device__ inline T warp_sum(T value) {
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, offset);
    }
    return value;
}

__device__ inline float square_root(float x) { return sqrtf(x); }
__device__ inline double square_root(double x) { return sqrt(x); }

// Sums of squares below this are treated as zero when a reflector is computed: their roots have too few bits for an orthogonal
// one. Matrices are scaled to elements of order 1 before.
__device__ inline float negligible(float) { return 1e-30f; }
__device__ inline double negligible(double) { return 1e-280; }

// Reads what another block may have written since this one began.
template <typename T> __device__ inline T load_fresh(const T *address) { return __ldcg(address); }

// Waits until another block has published that many steps. This thread may then read what it wrote before, and the others may
// after a barrier, with load_fresh.
__device__ inline void wait_for(const unsigned *progress, unsigned steps) {
    while (*static_cast<const volatile unsigned *>(progress) < steps) {
        __nanosleep(20);
    }
    __threadfence();
}

// Publishes how many steps this block has done, once all its threads are here.
__device__ inline void publish(unsigned *progress, unsigned steps) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        *static_cast<volatile unsigned *>(progress) = steps;
    }
}
