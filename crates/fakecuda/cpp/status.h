// Statuses of the four libraries. All are ints, so that one wrapper serves every function.
#pragma once

namespace fake {

constexpr int SUCCESS = 0;

constexpr int CUDA_INVALID_VALUE = 1;
constexpr int CUDA_OUT_OF_MEMORY = 2;
constexpr int CUDA_NOT_INITIALIZED = 3;
constexpr int CUDA_NO_DEVICE = 100;
constexpr int CUDA_INVALID_DEVICE = 101;
constexpr int CUDA_INVALID_IMAGE = 200;
constexpr int CUDA_INVALID_CONTEXT = 201;
constexpr int CUDA_NO_BINARY_FOR_GPU = 209;
constexpr int CUDA_INVALID_HANDLE = 400;
constexpr int CUDA_NOT_FOUND = 500;
constexpr int CUDA_NOT_READY = 600;
constexpr int CUDA_CONTEXT_IS_DESTROYED = 709;
constexpr int CUDA_NOT_SUPPORTED = 801;
constexpr int CUDA_UNKNOWN = 999;

constexpr int BLAS_NOT_INITIALIZED = 1;
constexpr int BLAS_ALLOC_FAILED = 3;
constexpr int BLAS_INVALID_VALUE = 7;
constexpr int BLAS_EXECUTION_FAILED = 13;
constexpr int BLAS_NOT_SUPPORTED = 15;

constexpr int SOLVER_NOT_INITIALIZED = 1;
constexpr int SOLVER_INVALID_VALUE = 3;
constexpr int SOLVER_INTERNAL_ERROR = 7;
constexpr int SOLVER_NOT_SUPPORTED = 9;

constexpr int NVRTC_INVALID_INPUT = 3;
constexpr int NVRTC_INVALID_PROGRAM = 4;
constexpr int NVRTC_INVALID_OPTION = 5;
constexpr int NVRTC_COMPILATION = 6;

} // namespace fake
