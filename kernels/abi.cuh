// What kernels and host share: constants of launches, and structs in the memory of a GPU.
//
// The build scripts read this file (kernels/catalog.rs) and generate its Rust form, so that every number and every layout
// exists once. Constants are of the form `constexpr unsigned NAME = EXPRESSION;`, with expressions that are valid Rust too.
// Members of structs are `double`, `float`, `unsigned` or `unsigned long long`.
#pragma once

// Threads that run in step.
constexpr unsigned WARP = 32;
// Threads of a block, unless a kernel says otherwise.
constexpr unsigned THREADS = 256;
// Threads of a block of the bisection: that many eigenvalues share a tile of the matrix.
constexpr unsigned BISECTION_THREADS = 64;

// ---- alpha_fit.cu

// The fewest eigenvalues that can be fitted.
constexpr unsigned MIN_EIGENVALUES = 8;
// Bins of the histogram of log10 x whose peak is the start of the tail.
constexpr unsigned BINS = 100;
// Shared counters of fit_prepare: the bins, and three more.
constexpr unsigned FIT_COUNTERS = BINS + 3;

constexpr unsigned RULE_PEAK = 0;
constexpr unsigned RULE_MEDIAN = 1;
constexpr unsigned RULE_KS = 2;

constexpr unsigned FIT_OK = 0;
constexpr unsigned FIT_TOO_FEW = 1;
constexpr unsigned FIT_RANK_DEFICIENT = 2;
constexpr unsigned FIT_NO_TAIL = 3;

// The error bounds of a spectrum: all values to the absolute error eta, their roots (the singular values) to delta, the smallest
// value to the relative error `smallest`, unless that is negative.
struct DeviceAccuracy {
    double eta;
    double delta;
    double smallest;
};

// The candidates for the start of a spectrum's tail: the indices begin .. end, if the status is FIT_OK.
struct Candidates {
    unsigned begin;
    unsigned end;
    unsigned status;
    unsigned unused;
};

// The best fit of a spectrum, if the status is FIT_OK.
struct DeviceFit {
    double alpha;
    double ks_distance;
    unsigned start;
    unsigned status;
};

// ---- sturm.cu

// An interval that contains all eigenvalues of a tridiagonal matrix, and the smallest pivot that a division is safe with.
struct Interval {
    double low;
    double high;
    double smallest_pivot;
};

// ---- gram.cu

// The trace and the sum of squares of a part of a matrix: the eigenvalues have the same sum, and the same sum of squares.
struct GramSums {
    double trace;
    double squares;
};

// ---- widen.cu

// What a pass over the elements of a matrix found. The host sets it to {~0, 0} beforehand; both members only move towards the
// result by integer atomics, whose order does not matter.
struct ElementScan {
    // Index, in its tensor, of the first element that is not finite.
    unsigned long long first_bad;
    // Bits of the largest finite absolute value, as a double: non-negative doubles are ordered like their bits.
    unsigned long long largest;
};

constexpr unsigned CAST_NONE = 0;
constexpr unsigned CAST_FP16 = 1;
constexpr unsigned CAST_BF16 = 2;

// ---- products.cu

// A compensated sum: the value and the accumulated rounding error.
struct CompensatedSum {
    double value;
    double lost;
};

// ---- dense_to_band.cu and band_to_tridiagonal.cu

// Subdiagonals of the band matrix between the stages: one for each lane of a warp.
constexpr unsigned BAND = 32;
// Numbers from column to column of the band in memory.
constexpr unsigned BAND_LEAD = 2 * BAND;
// Rows of a panel for each block.
constexpr unsigned PANEL_ROWS = 128;
// Rows of X for each block.
constexpr unsigned COMBINED_ROWS = 64;
