// The kernels, by name, with their arguments as cuLaunchKernel takes them: an array of pointers to each.
#define HTSR_EMULATED
#include "launch.h"

#include "alpha_fit.cu"
#include "band_to_tridiagonal.cu"
#include "dense_to_band.cu"
#include "gram.cu"
#include "products.cu"
#include "sturm.cu"
#include "widen.cu"

#include <tuple>
#include <utility>

namespace {

// The arguments are copied, as cuLaunchKernel does: the kernel may run long after the launch.
template <typename... A, std::size_t... I>
std::function<void()> copied(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    return [kernel, values = std::tuple<A...>(*static_cast<A *>(arguments[I])...)] { std::apply(kernel, values); };
}

template <typename... A> std::function<void()> bind(void (*kernel)(A...), void **arguments) {
    return copied(kernel, arguments, std::index_sequence_for<A...>{});
}

} // namespace

#define KERNEL(kernel)                                                                                                      \
    if (std::strcmp(name, #kernel) == 0) {                                                                                  \
        return [](void **arguments) { return bind(kernel, arguments); };                                                    \
    }

emulation::Kernel emulation::find(const char *name) {
    KERNEL(fit_prepare)
    KERNEL(fit_distances)
    KERNEL(fit_select)
    KERNEL(scale_f32)
    KERNEL(scale_f64)
    KERNEL(panel_column_f32)
    KERNEL(panel_column_f64)
    KERNEL(panel_factors_f32)
    KERNEL(panel_factors_f64)
    KERNEL(panel_combine_f32)
    KERNEL(panel_combine_f64)
    KERNEL(take_band_f32)
    KERNEL(take_band_f64)
    KERNEL(chase_f32)
    KERNEL(chase_f64)
    KERNEL(take_tridiagonal_f32)
    KERNEL(take_tridiagonal_f64)
    KERNEL(mirror_f32)
    KERNEL(mirror_f64)
    KERNEL(gram_sums_f32)
    KERNEL(gram_sums_f64)
    KERNEL(clear_below_diagonal)
    KERNEL(product_along_bf16)
    KERNEL(product_along_f16)
    KERNEL(product_along_f32)
    KERNEL(product_along_f64)
    KERNEL(product_across_bf16)
    KERNEL(product_across_f16)
    KERNEL(product_across_f32)
    KERNEL(product_across_f64)
    KERNEL(add_parts)
    KERNEL(sturm_bounds_f32)
    KERNEL(sturm_bounds_f64)
    KERNEL(sturm_bisect_f32)
    KERNEL(sturm_bisect_f64)
    KERNEL(widen_bf16_f32)
    KERNEL(widen_bf16_f64)
    KERNEL(widen_f16_f32)
    KERNEL(widen_f16_f64)
    KERNEL(widen_f32_f32)
    KERNEL(widen_f32_f64)
    KERNEL(widen_f64_f32)
    KERNEL(widen_f64_f64)
    KERNEL(scan_bf16)
    KERNEL(scan_f16)
    return nullptr;
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
