//! Roots and maxima of functions of one variable that have exactly one: slow but certain.

/// The sign change of the increasing function `f` between `low` and `high`, to the last digits; one end if the sign
/// does not change.
pub(super) fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    loop {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            return middle;
        }
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The maximum of the concave function `f` between `low` and `high`, by golden-section search.
///
/// A maximum is flat: its position is accurate to about 1e-8 of the interval, its value to the last digits.
pub(super) fn maximum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let inner = |low: f64, high: f64| (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut f_left, mut f_right) = (f(left), f(right));
    let enough = 1e-10 * (high - low);
    while high - low > enough {
        if f_left > f_right {
            (high, right, f_right) = (right, left, f_left);
            left = inner(low, high).0;
            f_left = f(left);
        } else {
            (low, left, f_left) = (left, right, f_right);
            right = inner(low, high).1;
            f_right = f(right);
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_found_to_the_last_digits() {
        assert!((root(|x| x * x * x - 2.0, 0.0, 1e6) - 2.0_f64.cbrt()).abs() < 1e-15);
        assert_eq!(root(|_| 1.0, 3.0, 4.0), 3.0);
        assert!((root(|_| -1.0, 3.0, 4.0) - 4.0).abs() < 1e-15);
    }

    #[test]
    fn a_maximum_is_found_inside_and_at_the_ends() {
        assert!((maximum(|x| -(x - 1.25) * (x - 1.25), -3.0, 10.0) - 1.25).abs() < 1e-7);
        assert!((maximum(|x| x, 0.0, 2.0) - 2.0).abs() < 1e-9);
        assert!(maximum(|x| -x, 0.0, 2.0).abs() < 1e-9);
    }
}
