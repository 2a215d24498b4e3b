// What every kernel file needs. The same files are compiled by NVRTC or nvcc for a GPU, and as C++ for a CPU, where each
// CUDA thread is a fiber (crates/kernel-emulator): no standard header, no static shared memory, no fast-math.
#pragma once

#ifdef HTSR_EMULATED
#include "emulation.h"
#else
// All shared memory is dynamic: its size is a launch parameter, and an emulator can poison it.
template <typename T> __device__ inline T *shared_memory() {
    extern __shared__ __align__(16) unsigned char htsr_shared_bytes[];
    return reinterpret_cast<T *>(htsr_shared_bytes);
}
#endif

constexpr unsigned WARP = 32;
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
