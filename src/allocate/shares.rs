//! Real-valued shares in proportion to weights, within bounds: what a bound cuts off is spread over the others.

use super::{Bound, Solution};

/// x_i = clamp(lambda w_i, min, max), with lambda such that the sum of c_i x_i is `total`: shares for weights w and
/// costs c.
///
/// Units outside the bounds are fixed there, and the rest is shared again, until all are within bounds. If all
/// remaining units have weight 0, they share equally.
///
/// The caller guarantees sum c min <= total <= sum c max, weights >= 0 and costs > 0.
pub(super) fn bounded(weights: &[f64], costs: &[f64], total: f64, min: f64, max: f64) -> Solution {
    let mut held: Vec<Option<Bound>> = vec![None; weights.len()];
    let mut values = vec![0.0; weights.len()];
    loop {
        let (mut rest, mut weight, mut free) = (total, 0.0, 0.0);
        for ((held, w), cost) in held.iter().zip(weights).zip(costs) {
            match held {
                Some(Bound::Minimum) => rest -= cost * min,
                Some(Bound::Maximum) => rest -= cost * max,
                None => (weight, free) = (weight + cost * w, free + cost),
            }
        }
        let mut violation = 0.0;
        for (((value, held), w), cost) in values.iter_mut().zip(&held).zip(weights).zip(costs) {
            *value = match held {
                Some(Bound::Minimum) => min,
                Some(Bound::Maximum) => max,
                None if weight > 0.0 => rest * w / weight,
                None => rest / free,
            };
            violation += cost * (value.clamp(min, max) - *value);
        }
        // Fixing only the side with the larger violation keeps every earlier decision valid.
        let mut changed = false;
        for (held, &value) in held.iter_mut().zip(&values).filter(|(held, _)| held.is_none()) {
            *held = match value {
                value if value < min && violation >= 0.0 => Some(Bound::Minimum),
                value if value > max && violation <= 0.0 => Some(Bound::Maximum),
                _ => continue,
            };
            changed = true;
        }
        if !changed {
            values.iter_mut().for_each(|value| *value = value.clamp(min, max));
            return Solution { values, held };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excess_is_spread_over_the_others() {
        let Solution { values, held } = bounded(&[4.0, 2.0, 1.0, 0.0], &[1.0; 4], 1.75, 0.25, 0.75);
        assert_eq!(values, [0.75, 0.5, 0.25, 0.25]);
        assert_eq!(held, [Some(Bound::Maximum), None, None, Some(Bound::Minimum)]);
    }

    #[test]
    fn costs_count() {
        let Solution { values, .. } = bounded(&[1.0, 2.0], &[3.0, 1.0], 10.0, 0.0, 100.0);
        assert_eq!(values, [2.0, 4.0]);
    }

    #[test]
    fn without_weights_all_share_alike() {
        assert_eq!(bounded(&[0.0, 0.0], &[1.0, 3.0], 8.0, 0.0, 9.0).values, [2.0, 2.0]);
    }
}
