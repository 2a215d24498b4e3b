// Device memory and pinned host memory. Each allocation ends at a page without access, is poisoned, and is checked
// for damage when it is freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fake {

constexpr int HOST = -1;
constexpr unsigned char POISON = 0xff; // NaN in every floating-point type

enum class Place { Pageable, Pinned, Invalid };

// Whether all the bytes are inside one live allocation of the device.
bool on_device(const void *start, std::size_t bytes, int device);
// The kind of host memory; Invalid if it is a device's, or extends past the end of a pinned allocation.
Place host_place(const void *start, std::size_t bytes);

void poison(void *start, std::size_t bytes);
// The same for both ends of a large buffer: overwriting all of cuBLAS's 32 MiB at each call would take most of the time.
void poison_ends(void *start, std::size_t bytes);

// Bytes from the first element of a column-major matrix to the end of its last.
std::size_t matrix_bytes(std::int64_t rows, std::int64_t columns, std::int64_t stride, std::size_t element);

std::size_t live_allocations(bool host);
// Of the current device.
std::size_t free_bytes();
// Free memory that creating a handle needs. It takes none; but with less, libraries fail with other errors.
constexpr std::size_t HANDLE_BYTES = 4 << 20;
// The most bytes that were allocated at once on each device.
std::vector<std::size_t> peak_bytes();

} // namespace fake
