//! Throughput: how fast a device computes the spectra of matrices, as a share of what its hardware can do.
//!
//! Weights are random and roughly normal. They are written to a file and processed like every checkpoint, from the
//! mapped pages to the fit. They stay in the page cache, so the timing measures computation and not the disk.

mod count;
mod models;
mod throughput;
mod timing;
mod weights;

pub use count::matrices_to_keep_busy;
pub use models::{PublishedModel, repeat_layer};
pub use throughput::Throughput;
pub use timing::Timing;
pub use weights::{RandomTensor, write};

use crate::spectrum::Spectrum;

/// The largest |x - y| / y_max over the eigenvalues x of `spectrum` and y of `reference`, paired in order.
///
/// # Panics
///
/// If their numbers differ.
pub fn largest_error(spectrum: &Spectrum, reference: &Spectrum) -> f64 {
    let (values, references) = (spectrum.values(), reference.values());
    assert_eq!(values.len(), references.len());
    let differences = values.iter().zip(references).map(|(x, y)| (x - y).abs());
    differences.fold(0.0, f64::max) / reference.largest()
}
