// The kernels, by name, with their arguments as cuLaunchKernel takes them: an array of pointers to each. The list of kernels is
// generated from their files (list.rs).
#define HTSR_EMULATED
#include "launch.h"

#include "kernel_files.inc"

#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace {

// The arguments are copied, as cuLaunchKernel does: the kernel may run long after the launch.
template <typename... A, std::size_t... I>
std::function<void()> copied(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    return [kernel, values = std::tuple<A...>(*static_cast<A *>(arguments[I])...)] { std::apply(kernel, values); };
}

template <typename... A> std::function<void()> bind(void (*kernel)(A...), void **arguments) {
    return copied(kernel, arguments, std::index_sequence_for<A...>{});
}

// A number by its mangled name; a pointer as P and what it points to: a number, or a struct by its size.
template <typename A> std::string type_code() {
    if constexpr (std::is_pointer_v<A>) {
        using To = std::remove_cv_t<std::remove_pointer_t<A>>;
        return "P" + (std::is_arithmetic_v<To> ? std::string(typeid(To).name()) : std::to_string(sizeof(To)));
    } else {
        return typeid(A).name();
    }
}

// The codes of all parameters, each followed by a space.
template <typename... A> std::string signature(void (*)(A...)) { return ((type_code<A>() + " ") + ... + ""); }

struct Entry {
    const char *name;
    emulation::Kernel bind;
    std::string signature;
};

#define ENTRY(kernel) {#kernel, [](void **arguments) { return bind(kernel, arguments); }, signature(kernel)},

const std::vector<Entry> &entries() {
    // Never destroyed: a thread may still look for a kernel while the process exits.
    static const std::vector<Entry> &entries = *new std::vector<Entry>{
#include "kernel_entries.inc"
    };
    return entries;
}

const Entry *entry(const char *name) {
    for (const Entry &entry : entries()) {
        if (std::strcmp(name, entry.name) == 0) {
            return &entry;
        }
    }
    return nullptr;
}

} // namespace

emulation::Kernel emulation::find(const char *name) {
    const Entry *found = entry(name);
    return found == nullptr ? nullptr : found->bind;
}

// The types of a kernel's parameters, or null if there is no such kernel.
extern "C" const char *emulated_signature(const char *name) {
    const Entry *found = entry(name);
    return found == nullptr ? nullptr : found->signature.c_str();
}

extern "C" int emulate_kernel(const char *name, const unsigned grid[3], const unsigned block[3], std::size_t shared,
                              void **arguments, unsigned order, std::uint64_t seed) {
    const emulation::Kernel kernel = emulation::find(name);
    if (kernel == nullptr) {
        return int(emulation::Outcome::UnknownKernel);
    }
    const emulation::Dim3 grid_size = {grid[0], grid[1], grid[2]}, block_size = {block[0], block[1], block[2]};
    if (!emulation::launchable(grid_size, block_size, shared)) {
        return int(emulation::Outcome::BadConfiguration);
    }
    return int(emulation::launch(grid_size, block_size, shared, emulation::Order(order), seed, kernel(arguments)));
}
