// Devices, and their primary contexts: the only ones there are.
#pragma once

#include <cstddef>

namespace fake {

struct Context {
    int device;
    std::size_t retained;
};

constexpr int COMPUTE_CAPABILITY = 90;

// The device of the context that is current on this thread, or -1.
int current_device();

std::size_t contexts_retained();
int device_count();

} // namespace fake
