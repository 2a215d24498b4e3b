// What the libraries beside the driver own, for the report.
#pragma once

#include <cstddef>
#include <string>

namespace fake {

std::size_t live_modules();
std::size_t live_blas();
std::size_t live_solvers();
std::size_t live_params();
std::size_t live_programs();

// How an image begins that "NVRTC" made; the number of the architecture follows, and the source on the next line.
constexpr const char *CUBIN_MAGIC = "FAKECUBIN sm_";
constexpr const char *PTX_MAGIC = "FAKEPTX compute_";

} // namespace fake
