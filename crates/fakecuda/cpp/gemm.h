// sum += op(A) op(B) in packed blocks, fast enough that tests can use real sizes. Column-major, as in BLAS.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace fake {

struct Bf16 {
    std::uint16_t bits;
};
struct F16 {
    std::uint16_t bits;
};

inline double widen(double x) { return x; }
inline float widen(float x) { return x; }

inline float widen(Bf16 x) {
    const std::uint32_t bits = std::uint32_t(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float widen(F16 x) {
    const std::uint32_t sign = std::uint32_t(x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
    // Moved to f32's place, the exponent is 112 too small; a multiplication corrects that for subnormal numbers too.
    std::uint32_t bits = magnitude << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, sizeof value);
    bits |= (magnitude >= 0x7c00u ? 0x7f800000u : 0u) | sign;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// A matrix in memory, transposed or not.
template <typename S> struct Operand {
    const S *elements;
    std::size_t stride;
    bool transposed;

    const S &operator()(std::size_t row, std::size_t column) const {
        return transposed ? elements[column + row * stride] : elements[row + column * stride];
    }
};

template <typename T> struct Tile {
    // Two vectors of 16 bytes: with four columns, this fits the registers of any x86-64.
    static constexpr std::size_t ROWS = 32 / sizeof(T), COLUMNS = 4, DEPTH = 256;
};

// `panel` rows at a time, each step of the depth contiguous; padding is zero.
template <typename T, typename S>
void pack(const Operand<S> &from, bool by_rows, std::size_t panel, std::size_t begin, std::size_t extent, std::size_t deep,
          std::size_t depth, T *to) {
    for (std::size_t first = begin; first < begin + extent; first += panel, to += panel * depth) {
        const std::size_t present = std::min(panel, begin + extent - first);
        std::fill(to, to + panel * depth, T(0));
        for (std::size_t k = 0; k < depth; k++) {
            for (std::size_t i = 0; i < present; i++) {
                to[k * panel + i] = widen(by_rows ? from(first + i, deep + k) : from(deep + k, first + i));
            }
        }
    }
}

template <typename T> void multiply_tile(const T *a, const T *b, std::size_t depth, T *result) {
    constexpr std::size_t ROWS = Tile<T>::ROWS, COLUMNS = Tile<T>::COLUMNS;
    typedef T Vector __attribute__((vector_size(16)));
    constexpr std::size_t LANES = 16 / sizeof(T);
    Vector sums[COLUMNS][2] = {};
    for (std::size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
        Vector low, high;
        std::memcpy(&low, a, 16);
        std::memcpy(&high, a + LANES, 16);
#pragma GCC unroll 4
        for (std::size_t j = 0; j < COLUMNS; j++) {
            sums[j][0] += low * b[j];
            sums[j][1] += high * b[j];
        }
    }
    std::memcpy(result, sums, sizeof sums);
}

// The sum, m x n and contiguous, of products over k. In the precision of T.
template <typename T, typename S>
std::vector<T> multiply(const Operand<S> &a, const Operand<S> &b, std::size_t m, std::size_t n, std::size_t k) {
    constexpr std::size_t ROWS = Tile<T>::ROWS, COLUMNS = Tile<T>::COLUMNS, DEPTH = Tile<T>::DEPTH;
    std::vector<T> sum(m * n), packed_a((m + ROWS - 1) / ROWS * ROWS * DEPTH), packed_b(COLUMNS * DEPTH);
    T tile[COLUMNS][ROWS];
    for (std::size_t deep = 0; deep < k; deep += DEPTH) {
        const std::size_t depth = std::min(DEPTH, k - deep);
        pack(a, true, ROWS, 0, m, deep, depth, packed_a.data());
        for (std::size_t j = 0; j < n; j += COLUMNS) {
            const std::size_t columns = std::min(COLUMNS, n - j);
            pack(b, false, COLUMNS, j, columns, deep, depth, packed_b.data());
            for (std::size_t i = 0; i < m; i += ROWS) {
                multiply_tile(packed_a.data() + i * depth, packed_b.data(), depth, tile[0]);
                for (std::size_t column = 0; column < columns; column++) {
                    T *to = sum.data() + (j + column) * m + i;
                    for (std::size_t row = 0; row < std::min(ROWS, m - i); row++) {
                        to[row] += tile[column][row];
                    }
                }
            }
        }
    }
    return sum;
}

} // namespace fake
