// Devices, and their primary contexts: no others exist.
#pragma once

#include <cstddef>

namespace fake {

struct Context {
    int device;
    std::size_t retained;
};

constexpr int COMPUTE_CAPABILITY = 90;

// Creates all devices.
void initialize();
bool is_initialized();

int device_count();
bool is_device(int device);

// The primary context of a device, which must exist.
Context &primary_context(int device);
bool is_context(const Context *context);
std::size_t contexts_retained();

// The context that is current on this thread, or null.
Context *current_context();
void set_current_context(Context *context);

// The error of a call that needs a current context on this thread, or SUCCESS.
int context_error();
// The device of the context that is current on this thread, or -1.
int current_device();

} // namespace fake
