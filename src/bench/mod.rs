//! Throughput: how fast a device turns matrices into spectra, as a share of what its hardware can do.
//!
//! Weights are random and roughly normal. They are written to a file and go the way of every checkpoint, from the mapped
//! pages to the fit; they stay in the page cache, so that what is timed is computation and not the disk.

mod count;
mod models;
mod throughput;
mod timing;
mod weights;

pub use count::enough;
pub use models::{PublishedModel, repeat_layer};
pub use throughput::Throughput;
pub use timing::Timing;
pub use weights::{RandomTensor, write};

use crate::spectrum::Spectrum;

/// The largest |x - y| / y_max over the eigenvalues x of `spectrum` and y of `reference`, one by one in order.
///
/// # Panics
///
/// If there are not equally many.
pub fn largest_error(spectrum: &Spectrum, reference: &Spectrum) -> f64 {
    let (values, references) = (spectrum.values(), reference.values());
    assert_eq!(values.len(), references.len());
    let differences = values.iter().zip(references).map(|(x, y)| (x - y).abs());
    differences.fold(0.0, f64::max) / reference.largest()
}
