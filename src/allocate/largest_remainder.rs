//! The method of largest remainders (Hamilton), with bounds: the sane way to round.

/// Whole numbers proportional to `weights`, each in min..=max, that add up to `total`.
///
/// The real-valued shares are found first: whoever falls outside the bounds is fixed there, and the rest is shared anew.
/// Then all are rounded down, and what is left goes to the largest fractions, smaller indices first.
///
/// The caller guarantees weights.len() * min <= total <= weights.len() * max, and weights >= 0.
pub(super) fn round(weights: &[f64], total: u32, min: u32, max: u32) -> Vec<u32> {
    let shares = bounded_shares(weights, total.into(), min.into(), max.into());
    let mut rounded: Vec<u32> = shares.iter().map(|share| (share.floor() as u32).clamp(min, max)).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| {
        let fraction = |index: usize| shares[index] - f64::from(rounded[index]);
        fraction(b).total_cmp(&fraction(a)).then(a.cmp(&b))
    });
    // One round is enough but for rounding errors in the shares; the bounds hold in any case.
    while rounded.iter().sum::<u32>() < total {
        for &index in &order {
            if rounded.iter().sum::<u32>() < total && rounded[index] < max {
                rounded[index] += 1;
            }
        }
    }
    while rounded.iter().sum::<u32>() > total {
        for &index in order.iter().rev() {
            if rounded.iter().sum::<u32>() > total && rounded[index] > min {
                rounded[index] -= 1;
            }
        }
    }
    rounded
}

/// clamp(lambda w, min, max) for the lambda at which they add up to `total`.
fn bounded_shares(weights: &[f64], total: f64, min: f64, max: f64) -> Vec<f64> {
    let mut fixed: Vec<Option<f64>> = vec![None; weights.len()];
    loop {
        let rest = total - fixed.iter().flatten().sum::<f64>();
        let weight: f64 =
            weights.iter().zip(&fixed).filter(|(_, fixed)| fixed.is_none()).map(|(weight, _)| weight).sum();
        let free = fixed.iter().filter(|fixed| fixed.is_none()).count();
        let share = |index: usize| match fixed[index] {
            Some(bound) => bound,
            None if weight > 0.0 => rest * weights[index] / weight,
            None => rest / free as f64,
        };
        let shares: Vec<f64> = (0..weights.len()).map(share).collect();
        let clamped = shares.iter().map(|share| share.clamp(min, max));
        // Fixing only the side that is violated more keeps every earlier decision right.
        let violation: f64 = clamped.zip(&shares).map(|(clamped, share)| clamped - share).sum();
        let bound = |share: f64| match share {
            share if share < min && violation >= 0.0 => Some(min),
            share if share > max && violation <= 0.0 => Some(max),
            _ => None,
        };
        let mut changed = false;
        for (fixed, &share) in fixed.iter_mut().zip(&shares) {
            if fixed.is_none()
                && let Some(bound) = bound(share)
            {
                *fixed = Some(bound);
                changed = true;
            }
        }
        if !changed {
            return shares.iter().map(|share| share.clamp(min, max)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn bounds_and_ties() {
        assert_eq!(round(&[1.0, 1.0, 1.0], 4, 1, 4), [2, 1, 1]);
        assert_eq!(round(&[100.0, 1.0, 1.0], 10, 1, 10), [8, 1, 1]);
        assert_eq!(round(&[100.0, 1.0, 1.0], 10, 1, 5), [5, 3, 2]);
        assert_eq!(round(&[0.0, 0.0], 5, 0, 5), [3, 2]);
        assert_eq!(round(&[5.0, 3.0, 1.0], 3, 1, 1), [1, 1, 1]);
    }
}
