//! Level repulsion: whether the eigenvalues of a matrix repel each other like those of random matrices.
//!
//! For spacings s of ln x, the mean over j of min(s_j, s_j+1) / max(s_j, s_j+1) is 0.5307 for real random matrices of
//! any density, and 0.3863 for independent numbers (Atas, Bogomolny, Giraud and Roux, Phys. Rev. Lett. 110, 2013). It
//! was 0.48 to 0.56 for the 36 matrices of MiniLM.

/// Fewest eigenvalues for which repulsion can be detected.
const MIN_EIGENVALUES: usize = 50;
/// The mean ratio of random matrices.
const RANDOM: f64 = 0.5307;

/// Confirms that the spacings of `ln`, ascending and finite, are those of a random matrix, within three standard errors
/// or 0.06, whichever is larger.
///
/// # Errors
///
/// A phrase that says why this is not confirmed.
pub(super) fn check(ln: &[f64]) -> Result<(), String> {
    if ln.len() < MIN_EIGENVALUES {
        return Err(format!(
            "{} eigenvalues, fewer than the {MIN_EIGENVALUES} needed to check that they repel each other",
            ln.len()
        ));
    }
    let ratio = mean_spacing_ratio(ln);
    // One ratio has a standard deviation of 0.3, including the correlation with its neighbors.
    let tolerance = (0.9 / (ln.len() as f64).sqrt()).max(0.06);
    if ratio < RANDOM - tolerance {
        Err(format!(
            "its eigenvalues do not repel each other like those of random matrices: mean spacing ratio {ratio:.2}, not 0.53"
        ))
    } else if ratio > RANDOM + tolerance {
        Err(format!(
            "its eigenvalues are more regular than those of random matrices: mean spacing ratio {ratio:.2}, not 0.53"
        ))
    } else {
        Ok(())
    }
}

fn mean_spacing_ratio(ln: &[f64]) -> f64 {
    let ratio = |triple: &[f64]| {
        let (a, b) = (triple[1] - triple[0], triple[2] - triple[1]);
        if a.max(b) > 0.0 { a.min(b) / a.max(b) } else { 0.0 }
    };
    ln.windows(3).map(ratio).sum::<f64>() / (ln.len() - 2) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uncertainty::Positions;

    #[test]
    fn random_matrices_pass_and_others_do_not() {
        let positions = Positions::simulate(200, 300, 100, 5);
        assert!(positions.draws().filter(|draw| check(draw).is_ok()).count() >= 98);
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..100 {
            let mut independent: Vec<f64> = (0..200).map(|_| rng.f64()).collect();
            independent.sort_by(f64::total_cmp);
            assert!(check(&independent).unwrap_err().starts_with("its eigenvalues do not repel"));
        }
        let even: Vec<f64> = (0..200).map(f64::from).collect();
        assert!(check(&even).unwrap_err().contains("more regular"));
        assert!(check(&[1.0; 200]).is_err());
        assert!(check(&even[..49]).unwrap_err().starts_with("49 eigenvalues, fewer than the 50"));
    }
}
