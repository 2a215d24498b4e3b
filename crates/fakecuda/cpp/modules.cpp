// Modules are texts of kernels; a launch runs the kernel of that name on fibers.
#include "calls.h"
#include "device.h"
#include "handles.h"
#include "libraries.h"
#include "settings.h"
#include "streams.h"

#include "launch.h"

#include "emulation.h"

#include <cctype>
#include <cstring>

namespace fake {

namespace {

struct Function {
    std::string name;
    emulation::Kernel kernel;
};

struct Module {
    std::string text;
    Handles<Function> functions; // freed with the module, as in CUDA
};

// Beyond this a kernel must opt in with cuFuncSetAttribute, which is not modeled.
constexpr unsigned SHARED_BYTES = 48 << 10;
constexpr unsigned MOST_BLOCKS_Y = 65535;

Handles<Module> &modules() {
    static Handles<Module> &modules = *new Handles<Module>;
    return modules;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool contains_word(const std::string &text, const std::string &word) {
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
        const std::size_t end = at + word.size();
        if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) {
            return true;
        }
    }
    return false;
}

// Whether this device runs the image, a CUresult. Machine code runs on one architecture only, PTX on later ones too.
int image_error(const char *image) {
    for (const char *magic : {CUBIN_MAGIC, PTX_MAGIC}) {
        // strncmp stops at the image's end, however short that is.
        if (std::strncmp(image, magic, std::strlen(magic)) == 0) {
            const int architecture = std::atoi(image + std::strlen(magic));
            const bool runs = magic == PTX_MAGIC ? architecture <= COMPUTE_CAPABILITY : architecture == COMPUTE_CAPABILITY;
            return runs ? SUCCESS : CUDA_NO_BINARY_FOR_GPU;
        }
    }
    return CUDA_INVALID_IMAGE;
}

bool is_function(const Function *function) {
    for (const auto &[handle, module] : modules()) {
        if (module->functions.has(function)) {
            return true;
        }
    }
    return false;
}

emulation::Order thread_order() {
    switch (schedule()) {
    case Schedule::Eager:
        return emulation::Order::Forward;
    case Schedule::Lazy:
        return emulation::Order::Reverse;
    default:
        return emulation::Order::Shuffled;
    }
}

} // namespace

std::size_t live_modules() { return modules().size(); }

} // namespace fake

using namespace fake;

API int cuModuleLoadData(Module **module, const char *image) {
    return call_in_context(__func__, CUDA_INVALID_IMAGE, [&] {
        const int error = image == nullptr ? CUDA_INVALID_VALUE : image_error(image);
        if (error == SUCCESS) {
            *module = modules().add({image, {}});
        }
        return error;
    });
}

API int cuModuleUnload(Module *module) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = context_error()) {
            return error;
        }
        return modules().remove(module) ? SUCCESS : CUDA_INVALID_HANDLE;
    });
}

API int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    return call_in_context(__func__, CUDA_NOT_FOUND, [&] {
        if (!modules().has(module)) {
            return CUDA_INVALID_HANDLE;
        }
        const emulation::Kernel kernel = emulation::find(name);
        if (kernel == nullptr || !contains_word(module->text, name)) {
            return CUDA_NOT_FOUND;
        }
        *function = module->functions.add({name, kernel});
        return SUCCESS;
    });
}

API int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream *stream, void **arguments,
                       void **extra) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = stream_error(stream)) {
            return error;
        }
        if (!is_function(function)) {
            return CUDA_INVALID_HANDLE;
        }
        const emulation::Dim3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
        if (!emulation::launchable(grid, block, shared_bytes) || shared_bytes > SHARED_BYTES || grid_y > MOST_BLOCKS_Y ||
            grid_z > MOST_BLOCKS_Y || block_z > 64) {
            return CUDA_INVALID_VALUE;
        }
        if (extra != nullptr || arguments == nullptr) {
            return CUDA_NOT_SUPPORTED;
        }
        enqueue(stream, [=, name = function->name, run = function->kernel(arguments)] {
            const auto outcome = emulation::launch(grid, block, shared_bytes, thread_order(), schedule_seed(), run);
            if (outcome != emulation::Outcome::Success) {
                die("%s: threads wait for each other in vain", name.c_str());
            }
        });
        return SUCCESS;
    });
}
