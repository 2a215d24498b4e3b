// Finding a kernel by name, giving it arguments, and launching it on the fibers.
#pragma once

#include "dim3.h"

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulation {

enum class Order : unsigned { Forward = 0, Reverse = 1, Shuffled = 2 };
enum class Outcome : int { Success = 0, UnknownKernel = 1, BadConfiguration = 2, Deadlock = 3 };

// Takes a pointer to each argument, as cuLaunchKernel does, and returns a function that has copies of the arguments.
using Kernel = std::function<void()> (*)(void **arguments);

// The kernel of that name, or null.
Kernel find(const char *name);

// Whether a device supports this configuration.
bool launchable(Dim3 grid, Dim3 size, std::size_t shared);

// Runs all threads of a launchable configuration.
Outcome launch(Dim3 grid, Dim3 size, std::size_t shared, Order order, std::uint64_t seed, const std::function<void()> &f);

} // namespace emulation
