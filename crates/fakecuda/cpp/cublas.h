// A cuBLAS handle, and the values of its enumerations that more than one file needs.
#pragma once

#include "streams.h"

#include <cstddef>

namespace fake {

constexpr int OP_N = 0, OP_T = 1;
constexpr int FILL_LOWER = 0, FILL_UPPER = 1;

enum class Triangle { Both, Lower, Upper };

struct Blas {
    int device;
    Stream *stream; // null until set
    void *workspace;
    std::size_t workspace_bytes;
};

// The error of computing with this handle on this thread, a cublasStatus_t.
int blas_error(const Blas *blas);

} // namespace fake
