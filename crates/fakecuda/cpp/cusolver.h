// A cuSOLVER handle and its parameters.
#pragma once

#include "streams.h"

#include <cstddef>

namespace fake {

struct Solver {
    int device;
    Stream *stream; // null until set
};

struct Params {
    bool two_stage; // ALG_2 of syevd
};

// The error of computing with this handle on this thread, a cusolverStatus_t.
int solver_error(const Solver *solver);
bool is_params(const Params *params);

// MAJOR * 1000 + MINOR * 100 + PATCH.
int solver_version();

// True once, at the execution that FAKECUDA_SOLVER_INFO names: that one must report that it did not converge.
bool is_made_to_fail();

} // namespace fake
