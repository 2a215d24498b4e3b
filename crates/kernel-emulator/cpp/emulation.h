// What CUDA offers to a kernel, on a CPU. Every CUDA thread is a fiber; fibers.cpp runs them one at a time, block after block,
// and switches only where threads wait for each other. Shared memory is poisoned before every block.
#pragma once

#include "dim3.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define __device__
#define __global__

namespace emulation {

// The indices of the running thread.
extern Dim3 thread, block, block_size, grid_size;

// The dynamic shared memory of the block.
void *shared();
// Waits for all threads of the block that have not returned.
void block_barrier();
// Waits for the lanes in `mask`, this one among them.
void warp_barrier(unsigned mask);
// Eight bytes per lane through which the running thread's warp exchanges values.
std::uint64_t *warp_slots();

inline unsigned linear_thread() { return thread.x + block_size.x * (thread.y + block_size.y * thread.z); }

template <typename To, typename From> To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    std::memcpy(&result, &value, sizeof(To));
    return result;
}

template <typename T> T exchange(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8, "a register or two");
    std::memcpy(&warp_slots()[linear_thread() % 32], &value, sizeof(T));
    warp_barrier(mask);
    std::memcpy(&value, &warp_slots()[source % 32], sizeof(T));
    warp_barrier(mask);
    return value;
}

} // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

template <typename T> T *shared_memory() { return static_cast<T *>(emulation::shared()); }

inline void __syncthreads() { emulation::block_barrier(); }
inline void __syncwarp(unsigned mask) { emulation::warp_barrier(mask); }

template <typename T> T __shfl_xor_sync(unsigned mask, T value, unsigned lanes) {
    return emulation::exchange(mask, value, emulation::linear_thread() ^ lanes);
}

template <typename T> T __shfl_sync(unsigned mask, T value, unsigned source) {
    return emulation::exchange(mask, value, emulation::linear_thread() / 32 * 32 + source);
}

template <typename T> T __ldcg(const T *address) { return *address; }
inline void __threadfence() {}
// A block runs until it returns: what it waits for must have been done by an earlier block.
[[noreturn]] inline void __nanosleep(unsigned) { std::abort(); }

// Fibers are never interrupted: a plain read and write is atomic.
template <typename T> T atomicAdd(T *address, T value) {
    T old = *address;
    *address = old + value;
    return old;
}
template <typename T> T atomicMax(T *address, T value) {
    T old = *address;
    *address = old > value ? old : value;
    return old;
}
template <typename T> T atomicMin(T *address, T value) {
    T old = *address;
    *address = old < value ? old : value;
    return old;
}

inline double __longlong_as_double(long long value) { return emulation::bits<double>(value); }
inline long long __double_as_longlong(double value) { return emulation::bits<long long>(value); }
inline float __uint_as_float(unsigned value) { return emulation::bits<float>(value); }
