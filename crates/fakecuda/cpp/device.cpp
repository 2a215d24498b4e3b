// The state of devices and contexts.
#include "device.h"

#include "settings.h"
#include "status.h"

#include <vector>

namespace fake {

namespace {

bool initialized = false;
thread_local Context *current = nullptr;

std::vector<Context> &contexts() {
    static std::vector<Context> &contexts = *new std::vector<Context>;
    return contexts;
}

} // namespace

void initialize() {
    while (int(contexts().size()) < device_count()) {
        contexts().push_back({int(contexts().size()), 0});
    }
    initialized = true;
}

bool is_initialized() { return initialized; }

int device_count() { return int(setting("FAKECUDA_DEVICES", 1)); }

bool is_device(int device) { return device >= 0 && device < int(contexts().size()); }

Context &primary_context(int device) { return contexts()[std::size_t(device)]; }

bool is_context(const Context *context) {
    return !contexts().empty() && context >= contexts().data() && context < contexts().data() + contexts().size();
}

std::size_t contexts_retained() {
    std::size_t retained = 0;
    for (const Context &context : contexts()) {
        retained += context.retained;
    }
    return retained;
}

Context *current_context() { return current; }

void set_current_context(Context *context) { current = context; }

int context_error() {
    if (!initialized) {
        return CUDA_NOT_INITIALIZED;
    }
    if (current == nullptr) {
        return CUDA_INVALID_CONTEXT;
    }
    return current->retained == 0 ? CUDA_CONTEXT_IS_DESTROYED : SUCCESS;
}

int current_device() { return context_error() == SUCCESS ? current->device : -1; }

} // namespace fake
