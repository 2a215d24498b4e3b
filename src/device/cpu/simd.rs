//! Vectors of f32 or f64 as wide as the processor's, chosen at run time.
//!
//! A computation is written once, as a [`WithSimd`], over [`Real`] and [`Simd`], and compiled for every instruction set.
//! [`Level::run`] picks one. On x86-64 that is AVX-512, AVX2 with FMA, or neither; on aarch64 it is NEON. Products of bf16 are
//! separate: one [function](super::eigen::gram), for processors with instructions for them.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::fmt;
use std::mem::transmute_copy;

use faer::traits::RealField;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use pulp::{Scalar256b, Simd, WithSimd};

use crate::checkpoint::Element;
use crate::error::{Error, Result};

/// An instruction set that this machine supports.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Level {
    /// No vector instructions beyond those of every processor of the architecture.
    Scalar,
    /// AVX2 and FMA: 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2(V3),
    /// AVX-512 (F, BW, CD, DQ, VL): 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512(V4),
    /// AVX-512 with products of bf16 numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(V4),
    /// NEON: 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Level {
    /// All levels that this machine supports, the widest last.
    pub fn all() -> Vec<Level> {
        let levels = [
            Some(Level::Scalar),
            #[cfg(target_arch = "x86_64")]
            V3::try_new().map(Level::Avx2),
            #[cfg(target_arch = "x86_64")]
            V4::try_new().map(Level::Avx512),
            #[cfg(target_arch = "x86_64")]
            V4::try_new().filter(|_| is_x86_feature_detected!("avx512bf16")).map(Level::Avx512Bf16),
            #[cfg(target_arch = "aarch64")]
            pulp::aarch64::Neon::try_new().map(Level::Neon),
        ];
        levels.into_iter().flatten().collect()
    }

    /// The widest level that this machine supports.
    pub fn widest() -> Level {
        Level::all().pop().unwrap_or(Level::Scalar)
    }

    /// The level named by the environment variable `HTSR_SIMD`, or the widest if it is unset.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if this machine does not support that level.
    pub fn from_environment() -> Result<Level> {
        let wanted = match std::env::var("HTSR_SIMD") {
            Ok(wanted) if !wanted.is_empty() => wanted,
            _ => return Ok(Level::widest()),
        };
        let levels = Level::all();
        levels.iter().copied().find(|level| level.to_string() == wanted).ok_or_else(|| {
            let names: Vec<String> = levels.iter().map(ToString::to_string).collect();
            Error::usage(format!("HTSR_SIMD is '{wanted}', which this machine does not support"))
                .hint(format!("it supports {}; unset HTSR_SIMD to use the last of them", names.join(", ")))
        })
    }

    /// Whether it includes an instruction for products of bf16 numbers.
    pub fn multiplies_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self, Level::Avx512Bf16(_));
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Runs `work`, compiled for this instruction set.
    #[inline]
    pub fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            Level::Scalar => Simd::vectorize(Scalar256b, work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(simd) | Level::Avx512Bf16(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(simd) => Simd::vectorize(simd, work),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(_) => "avx512_bf16",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
        })
    }
}

/// Whether multiply-adds are instructions rather than calls into a library.
#[inline(always)]
pub fn fuses<S: Simd>() -> bool {
    TypeId::of::<S>() != TypeId::of::<Scalar256b>()
}

/// f32 or f64, with the vector operations of the solver.
pub trait Real: Element + RealField + Into<f64> + Sync {
    /// A vector of these.
    type Vector<S: Simd>: Copy;

    /// The distance from 1 to the next larger number.
    const EPSILON: f64;

    /// The square of a norm that counts as zero compared with elements of order 1: far below their rounding errors, and with a
    /// finite inverse.
    const NEGLIGIBLE_SQUARE: f64;

    /// Elements of a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    /// A vector of equal elements.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// a * b.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a + b.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a * b + c, fused if the processor can.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// The sum of the elements.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
    /// The sum of the elements of each of four vectors.
    fn sums<S: Simd>(simd: S, a: [Self::Vector<S>; 4]) -> [Self; 4];
    /// The elements of `a` from index `first` on, behind zeros.
    fn from_index<S: Simd>(simd: S, a: Self::Vector<S>, first: usize) -> Self::Vector<S>;

    /// Reads a vector.
    ///
    /// # Safety
    ///
    /// As many elements as a vector has can be read at `source`, which is aligned for one of them.
    #[inline(always)]
    unsafe fn load<S: Simd>(source: *const Self) -> Self::Vector<S> {
        // SAFETY: the caller's promise; vectors are plain numbers, of any bits.
        unsafe { source.cast::<Self::Vector<S>>().read_unaligned() }
    }

    /// Writes a vector.
    ///
    /// # Safety
    ///
    /// As many elements as a vector has can be written at `target`, which is aligned for one of them.
    #[inline(always)]
    unsafe fn store<S: Simd>(target: *mut Self, vector: Self::Vector<S>) {
        // SAFETY: the caller's promise.
        unsafe { target.cast::<Self::Vector<S>>().write_unaligned(vector) }
    }
}

/// x^T y for slices of equal length, in several sums side by side, which become vectors where this is inlined.
#[inline(always)]
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 16;
    let mut sums = [T::from_f64(0.0); LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let mut sum = T::from_f64(0.0);
    for lane in sums {
        sum += lane;
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        sum += *x * *y;
    }
    sum
}

macro_rules! real {
    ($float:ident, $negligible:literal, $vector:ident, $splat:ident, $mul:ident, $add:ident, $mul_add:ident, $sum:ident, $from:ident, $select:ident, $transposed:ident) => {
        impl Real for $float {
            type Vector<S: Simd> = S::$vector;
            const EPSILON: f64 = $float::EPSILON as f64;
            const NEGLIGIBLE_SQUARE: f64 = $negligible;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }

            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                if fuses::<S>() { simd.$mul_add(a, b, c) } else { simd.$add(simd.$mul(a, b), c) }
            }

            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$sum(a)
            }

            #[inline(always)]
            fn sums<S: Simd>(simd: S, a: [S::$vector; 4]) -> [Self; 4] {
                #[cfg(target_arch = "x86_64")]
                if let Some(simd) = same::<S, V4>(simd) {
                    // SAFETY: S is V4, so these vectors are its vectors.
                    return shuffles::avx512::$transposed(simd, unsafe { transmute_copy(&a) });
                } else if let Some(simd) = same::<S, V3>(simd) {
                    // SAFETY: S is V3.
                    return shuffles::avx2::$transposed(simd, unsafe { transmute_copy(&a) });
                }
                // Not by `map`: closures are not compiled for the instruction set.
                [simd.$sum(a[0]), simd.$sum(a[1]), simd.$sum(a[2]), simd.$sum(a[3])]
            }

            #[inline(always)]
            fn from_index<S: Simd>(simd: S, a: S::$vector, first: usize) -> S::$vector {
                let first = simd.$splat(first as $float);
                // SAFETY: INDICES has as many elements as the widest vector.
                let indices = unsafe { <$float>::load::<S>(INDICES.$float.as_ptr()) };
                simd.$select(simd.$from(indices, first), a, simd.$splat(0.0))
            }
        }
    };
}

struct Indices {
    f32: [f32; 16],
    f64: [f64; 8],
}

/// Each element is its own index.
static INDICES: Indices = Indices {
    f32: [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.],
    f64: [0., 1., 2., 3., 4., 5., 6., 7.],
};

real!(
    f32,
    1e-30,
    f32s,
    splat_f32s,
    mul_f32s,
    add_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s,
    greater_than_or_equal_f32s,
    select_f32s,
    f32s
);
real!(
    f64,
    1e-200,
    f64s,
    splat_f64s,
    mul_f64s,
    add_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s,
    greater_than_or_equal_f64s,
    select_f64s,
    f64s
);

/// `simd` as an `A`, if S is the type A.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn same<S: Simd, A: Simd>(simd: S) -> Option<A> {
    // SAFETY: both are the same type.
    (TypeId::of::<S>() == TypeId::of::<A>()).then(|| unsafe { transmute_copy(&simd) })
}

/// The sums of four vectors at once, by adding pairs of neighbors. Takes less than half the instructions of four separate sums.
#[cfg(target_arch = "x86_64")]
mod shuffles {
    pub mod avx2 {
        use std::arch::x86_64::{__m256, __m256d};

        use pulp::x86::V3;

        #[inline(always)]
        pub fn f32s(simd: V3, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
            let (avx, sse) = (simd.avx, simd.sse);
            // In each half the sums of a, b, c and d.
            let sums = avx._mm256_hadd_ps(avx._mm256_hadd_ps(a, b), avx._mm256_hadd_ps(c, d));
            let sums = sse._mm_add_ps(avx._mm256_castps256_ps128(sums), avx._mm256_extractf128_ps::<1>(sums));
            pulp::cast(sums)
        }

        #[inline(always)]
        pub fn f64s(simd: V3, [a, b, c, d]: [__m256d; 4]) -> [f64; 4] {
            let avx = simd.avx;
            let (ab, cd) = (avx._mm256_hadd_pd(a, b), avx._mm256_hadd_pd(c, d));
            let sums = avx
                ._mm256_add_pd(avx._mm256_permute2f128_pd::<0x20>(ab, cd), avx._mm256_permute2f128_pd::<0x31>(ab, cd));
            pulp::cast(sums)
        }
    }

    pub mod avx512 {
        use std::arch::x86_64::{__m512, __m512d};

        use pulp::x86::V4;

        #[inline(always)]
        pub fn f32s(simd: V4, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
            let wide = simd.avx512f;
            let ab = wide._mm512_add_ps(wide._mm512_unpacklo_ps(a, b), wide._mm512_unpackhi_ps(a, b));
            let cd = wide._mm512_add_ps(wide._mm512_unpacklo_ps(c, d), wide._mm512_unpackhi_ps(c, d));
            // In each quarter the sums of a, b, c and d.
            let sums = wide._mm512_add_ps(
                wide._mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
                wide._mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let upper = wide._mm512_shuffle_f32x4::<0b00_00_11_10>(sums, sums);
            let halves = wide._mm512_castps512_ps256(wide._mm512_add_ps(sums, upper));
            let sums = simd
                .sse
                ._mm_add_ps(simd.avx._mm256_castps256_ps128(halves), simd.avx._mm256_extractf128_ps::<1>(halves));
            pulp::cast(sums)
        }

        #[inline(always)]
        pub fn f64s(simd: V4, [a, b, c, d]: [__m512d; 4]) -> [f64; 4] {
            let wide = simd.avx512f;
            let ab = wide._mm512_add_pd(wide._mm512_unpacklo_pd(a, b), wide._mm512_unpackhi_pd(a, b));
            let cd = wide._mm512_add_pd(wide._mm512_unpacklo_pd(c, d), wide._mm512_unpackhi_pd(c, d));
            // Quarters: a and b, a and b, c and d, c and d.
            let sums = wide._mm512_add_pd(
                wide._mm512_shuffle_f64x2::<0b10_00_10_00>(ab, cd),
                wide._mm512_shuffle_f64x2::<0b11_01_11_01>(ab, cd),
            );
            let swapped = wide._mm512_shuffle_f64x2::<0b00_00_11_01>(sums, sums);
            let straight = wide._mm512_shuffle_f64x2::<0b00_00_10_00>(sums, sums);
            pulp::cast(wide._mm512_castpd512_pd256(wide._mm512_add_pd(straight, swapped)))
        }
    }
}
