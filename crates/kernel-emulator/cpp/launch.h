// Launching a kernel on the fibers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulation {

struct Dim3;

enum class Order : unsigned { Forward = 0, Reverse = 1, Shuffled = 2 };
enum class Outcome : int { Success = 0, UnknownKernel = 1, BadConfiguration = 2, Deadlock = 3 };

Outcome launch(Dim3 grid, Dim3 size, std::size_t shared, Order order, std::uint64_t seed, const std::function<void()> &f);

} // namespace emulation
