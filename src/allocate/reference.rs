//! AlphaLoRA's own rounding (`expert_number.py`), reproduced bit for bit so that its published tables are reproduced.

use crate::error::{Error, Result};
use crate::message::verbatim;

/// Rounds s_l = round_half_even(T a_l / sum a) with a_l = m_l^beta. If the sum is not T, single steps repair it: while
/// too small, add 1 at argmin(a_l - s_l); while too large, subtract 1 at argmax(a_l - s_l). The repair uses a_l without
/// scaling it to T, as the published code does; that is a quirk of the method. `name` names a layer in errors.
///
/// # Errors
///
/// If a power overflows, or if the repair drives a layer below zero, which can happen if T is smaller than the number
/// of layers.
pub(super) fn round(alphas: &[f64], beta: f64, total: u32, name: impl Fn(usize) -> String) -> Result<Vec<u32>> {
    let powers: Vec<f64> = alphas.iter().map(|alpha| alpha.powf(beta)).collect();
    let sum: f64 = powers.iter().sum();
    let total = f64::from(total);
    if !sum.is_normal() || !(total * sum).is_finite() {
        let cause = format!("alpha^beta is out of range at beta = {beta}");
        return Err(Error::usage(cause).hint("use a smaller §beta, or §rounding=largest-remainder"));
    }
    let mut shares: Vec<f64> = powers.iter().map(|power| (total * power / sum).round_ties_even()).collect();
    loop {
        let excess = shares.iter().sum::<f64>() - total;
        if excess == 0.0 {
            break;
        }
        let step = -excess.signum();
        let differences = powers.iter().zip(&shares).map(|(power, share)| step * (power - share));
        let layer = first_smallest(differences);
        shares[layer] += step;
    }
    if let Some(layer) = shares.iter().position(|&share| share < 0.0) {
        let cause = format!("the reference rounding gives {} {} experts", verbatim(&name(layer)), shares[layer]);
        // With fewer experts than layers, a minimum of one expert cannot be met either.
        let hint = match total >= shares.len() as f64 {
            true => "add §rounding=largest-remainder",
            false => "add §rounding=largest-remainder §min-experts=0",
        };
        return Err(Error::usage(cause).hint(hint));
    }
    Ok(shares.into_iter().map(|share| share as u32).collect())
}

fn first_smallest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::INFINITY);
    for (index, value) in values.enumerate() {
        if value < best.1 {
            best = (index, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn a_repair_below_zero_is_refused() {
        // Ten equal layers, six experts: every share rounds to 1, and all four steps down hit the first layer.
        let error = round(&[2.0; 10], 2.5, 6, |layer| format!("layer {layer}")).unwrap_err();
        assert_eq!(error.cause.to_string(), "the reference rounding gives layer 0 -3 experts");
        assert_eq!(error.hint.unwrap().to_string(), "add `rounding = largest-remainder` `min-experts = 0`");
    }

    #[test]
    fn overflow_is_refused() {
        assert!(round(&[9.0, 2.0], 400.0, 8, |layer| layer.to_string()).is_err());
    }
}
