//! 8-bit floating-point numbers (Open Compute Project, OFP8 1.0 and Microscaling Formats 1.0).

use std::fmt;

use half::f16;

/// An 8-bit floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Float8 {
    /// Sign, 4 bits of exponent, 3 of mantissa; up to 448, with NaN but without infinity.
    E4M3,
    /// Sign, 5 bits of exponent, 2 of mantissa: the upper half of an IEEE half.
    E5M2,
    /// 8 bits of exponent: powers of two from 2^-127 to 2^127, and NaN.
    E8M0,
}

impl Float8 {
    /// The value of each bit pattern; all are exact in single precision.
    pub fn values(self) -> [f32; 256] {
        std::array::from_fn(|bits| self.value(bits as u8))
    }

    /// The distance of each number from the next larger one in absolute value; 0 for zero.
    pub fn spacings(self) -> [f32; 256] {
        let (values, mantissa) = (self.values(), self.mantissa());
        let smallest = values[1];
        let spacing = |value: f32| match value {
            0.0 => 0.0,
            value => (2.0_f32.powi(value.abs().log2().floor() as i32 - mantissa)).max(smallest),
        };
        values.map(spacing)
    }

    /// Stored bits of the mantissa.
    fn mantissa(self) -> i32 {
        match self {
            Float8::E4M3 => 3,
            Float8::E5M2 => 2,
            Float8::E8M0 => 0,
        }
    }

    fn value(self, bits: u8) -> f32 {
        match self {
            Float8::E4M3 => {
                let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
                let size = match (exponent, bits & 7) {
                    (15, 7) => f32::NAN,
                    (0, _) => mantissa / 8.0 * 2.0_f32.powi(-6),
                    _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
                };
                if bits < 128 { size } else { -size }
            }
            Float8::E5M2 => f16::from_bits(u16::from(bits) << 8).to_f32(),
            Float8::E8M0 if bits == 255 => f32::NAN,
            Float8::E8M0 => 2.0_f64.powi(i32::from(bits) - 127) as f32,
        }
    }
}

impl fmt::Display for Float8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F8_{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_specifications() {
        for (format, bits, value) in [
            (Float8::E4M3, 0x00, 0.0),
            (Float8::E4M3, 0x01, 1.0 / 512.0),
            (Float8::E4M3, 0x07, 0.875 / 64.0),
            (Float8::E4M3, 0x08, 1.0 / 64.0),
            (Float8::E4M3, 0x38, 1.0),
            (Float8::E4M3, 0xb9, -1.125),
            (Float8::E4M3, 0x7e, 448.0),
            (Float8::E4M3, 0xfe, -448.0),
            (Float8::E5M2, 0x01, 1.0 / 65536.0),
            (Float8::E5M2, 0x04, 1.0 / 16384.0),
            (Float8::E5M2, 0xbd, -1.25),
            (Float8::E5M2, 0x7b, 57344.0),
            (Float8::E5M2, 0xfc, f32::NEG_INFINITY),
            (Float8::E8M0, 0x00, f32::MIN_POSITIVE / 2.0),
            (Float8::E8M0, 0x7f, 1.0),
            (Float8::E8M0, 0xfe, 2.0_f32.powi(127)),
        ] {
            assert_eq!(format.values()[bits], value, "{format} {bits:#x}");
        }
        for (format, bits) in [(Float8::E4M3, 0x7f), (Float8::E4M3, 0xff), (Float8::E5M2, 0x7e), (Float8::E8M0, 0xff)] {
            assert!(format.values()[bits].is_nan(), "{format} {bits:#x}");
        }
        assert!(Float8::E4M3.values()[0x80].is_sign_negative());
    }

    #[test]
    fn spacings_are_differences_of_neighbors() {
        for format in [Float8::E4M3, Float8::E5M2] {
            let (values, spacings) = (format.values(), format.spacings());
            assert_eq!((spacings[0], spacings[128]), (0.0, 0.0));
            for bits in (1..126).filter(|&bits| values[bits + 1].is_finite()) {
                assert_eq!(spacings[bits], values[bits + 1] - values[bits], "{format} {bits:#x}");
                assert_eq!(spacings[bits + 128], spacings[bits]);
            }
        }
    }
}
