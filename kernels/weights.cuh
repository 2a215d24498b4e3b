// A weight in the type of the file, and the rounding (cast) that the user asked for.
#pragma once

#include "common.cuh"

struct Bf16 {
    unsigned short bits;
    __device__ double value() const { return double(__uint_as_float(unsigned(bits) << 16)); }
};

struct F16 {
    unsigned short bits;
    __device__ double value() const {
        const unsigned exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
        const double sign = bits & 0x8000 ? -1.0 : 1.0;
        if (exponent == 0) {
            return sign * double(mantissa) * 5.9604644775390625e-08; // 2^-24
        }
        if (exponent == 31) {
            return mantissa ? __longlong_as_double(0x7ff8000000000000ll) : sign * infinity();
        }
        return double(__uint_as_float((bits & 0x8000u) << 16 | (exponent + 112) << 23 | mantissa << 13));
    }
};

struct F32 {
    float bits;
    __device__ double value() const { return double(bits); }
};

struct F64 {
    double bits;
    __device__ double value() const { return bits; }
};

// The nearest number with `digits` binary digits, ties to even; subnormal below 2^lowest, infinite above `largest`.
__device__ inline double round_to(double value, int digits, int lowest, double largest) {
    if (!(fabs(value) < infinity())) {
        return value;
    }
    const int exponent = int(__double_as_longlong(value) >> 52 & 0x7ff) - 1023;
    const int last = (exponent > lowest ? exponent : lowest) - digits + 1;
    const double unit = __longlong_as_double((long long)(last + 1023) << 52);
    // Scaling by a power of two is exact, so that this rounds once.
    const double rounded = rint(value / unit) * unit;
    return fabs(rounded) <= largest ? rounded : copysign(infinity(), value);
}

__device__ inline double apply(unsigned cast, double value) {
    if (cast == CAST_FP16) {
        return round_to(value, 11, -14, 65504.0);
    }
    if (cast == CAST_BF16) {
        return round_to(value, 8, -126, 3.3895313892515355e38);
    }
    return value;
}
