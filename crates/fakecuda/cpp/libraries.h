// Live objects of each kind, for the report.
#pragma once

#include <cstddef>
#include <string>

namespace fake {

std::size_t live_events();
std::size_t live_modules();
std::size_t live_blas();
std::size_t live_solvers();
std::size_t live_params();
std::size_t live_programs();

// The first words of an image of the fake NVRTC; the number of the architecture follows, and the source on the next line.
constexpr const char *CUBIN_MAGIC = "FAKECUBIN sm_";
constexpr const char *PTX_MAGIC = "FAKEPTX compute_";

} // namespace fake
