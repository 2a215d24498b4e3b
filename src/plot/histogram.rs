//! The histogram of an ESD in bins of equal width on a logarithmic axis.

/// A bin, in log10.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bin {
    pub from: f64,
    pub to: f64,
    /// Share of all eigenvalues per unit of x.
    pub density: f64,
}

/// Fewest and most bins; between these limits, the rule of Freedman and Diaconis decides.
const BINS: (f64, f64) = (6.0, 50.0);
/// Half the width of the single bin if all eigenvalues are equal.
const SINGLE: f64 = 0.02;

/// Bins for the ascending `log10` of eigenvalues, from the smallest to `end`, which none exceeds. Densities are shares
/// of `total`. Empty bins are omitted.
pub(super) fn bins(log10: &[f64], end: f64, total: usize) -> Vec<Bin> {
    let Some(&low) = log10.first() else { return Vec::new() };
    let range = end - low;
    if range < 1e-9 {
        return vec![bin(low - SINGLE, low + SINGLE, log10.len(), total)];
    }
    let quartile = |share: usize| log10[(log10.len() - 1) * share / 4];
    let width = 2.0 * (quartile(3) - quartile(1)) / (log10.len() as f64).cbrt();
    let number = if width > 0.0 { (range / width).ceil().clamp(BINS.0, BINS.1) } else { BINS.1 };
    let width = range / number;
    // An eigenvalue at the end belongs to the last bin.
    let index = |x: f64| ((x - low) / width).min(number - 1.0).floor();
    let groups = log10.chunk_by(|&a, &b| index(a) == index(b));
    let of_group = |group: &[f64]| {
        let from = low + index(group[0]) * width;
        bin(from, from + width, group.len(), total)
    };
    groups.map(of_group).collect()
}

fn bin(from: f64, to: f64, count: usize, total: usize) -> Bin {
    // 10^to - 10^from, computed in logarithms: eigenvalues may be as small as 1e-300.
    let width = from + (10.0_f64.powf(to - from) - 1.0).log10();
    Bin { from, to, density: (count as f64 / total as f64).log10() - width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mass(bins: &[Bin]) -> f64 {
        bins.iter().map(|bin| 10.0_f64.powf(bin.density) * (10.0_f64.powf(bin.to) - 10.0_f64.powf(bin.from))).sum()
    }

    #[test]
    fn every_eigenvalue_is_in_a_bin_once() {
        let mut log10: Vec<f64> = (0..500).map(|k| (f64::from(k) / 100.0).sin()).collect();
        log10.sort_by(f64::total_cmp);
        for split in [0, 100, 250, 480] {
            let mut all = bins(&log10[..split], log10[split], 500);
            all.extend(bins(&log10[split..], log10[499], 500));
            assert!((mass(&all) - 1.0).abs() < 1e-12, "{split}");
            assert!(all.windows(2).all(|pair| pair[0].to <= pair[1].from + 1e-12), "{split}");
        }
        assert!((mass(&bins(&log10[250..], log10[499], 500)) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn degenerate_spectra_have_a_bin() {
        assert_eq!(bins(&[], 0.0, 0).len(), 0);
        for values in [&[0.0][..], &[-300.0; 9], &[2.0; 40]] {
            let bins = bins(values, values[0], values.len());
            assert_eq!(bins.len(), 1);
            assert!(bins[0].from < values[0] && values[0] < bins[0].to && bins[0].density.is_finite());
        }
        let two = bins(&[-140.0, 160.0], 160.0, 2);
        assert!(two.len() == 2 && two.iter().all(|bin| bin.density.is_finite()), "{two:?}");
    }
}
