//! The elements of a matrix in a random order that is the same on every machine.
//!
//! The Fisher-Yates shuffle (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 P), driven by ChaCha8. The definition of
//! ChaCha8 fixes its stream, so the order depends neither on the number of threads nor on the version of a library. The same
//! seed gives different tensors different permutations.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use super::loaded::{Loaded, Unavailable, matrix_bytes};
use super::source::{ElementSource, Update};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType};

/// The elements of another source, copied and shuffled.
#[derive(Debug)]
pub(crate) struct Shuffled {
    pub ordered: Arc<dyn ElementSource>,
    pub seed: u64,
    /// Name of the matrix, which determines the order together with the seed.
    pub name: Arc<str>,
}

impl ElementSource for Shuffled {
    fn shape(&self) -> [usize; 2] {
        self.ordered.shape()
    }

    fn dtype(&self) -> FloatType {
        self.ordered.dtype()
    }

    fn stored(&self) -> &Stored {
        self.ordered.stored()
    }

    fn companions(&self) -> Vec<&Stored> {
        self.ordered.companions()
    }

    fn stored_bytes(&self) -> u64 {
        self.ordered.stored_bytes()
    }

    fn computed_bytes(&self) -> u64 {
        matrix_bytes(self.shape(), self.dtype()) + self.ordered.computed_bytes()
    }

    fn update(&self) -> Option<Update> {
        self.ordered.update()
    }

    fn is_sample(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let [rows, cols] = self.shape();
        let ordered = self.ordered.load(checkpoint, cast, keep)?;
        let (dtype, cast) = (ordered.view().dtype(), ordered.view().cast());
        let mut bytes = ordered.copy(0..rows, 0..cols)?;
        shuffle(&mut bytes, dtype.bytes(), self.seed, &self.name);
        Ok(Loaded::computed(bytes, dtype, [rows, cols]).with_cast(cast))
    }
}

/// Shuffles elements of `size` bytes each (2, 4 or 8) by the permutation that `seed` and `name` determine.
///
/// # Panics
///
/// If `size` is any other.
fn shuffle(bytes: &mut [u8], size: usize, seed: u64, name: &str) {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    let mut rng = ChaCha8Rng::from_seed(digest.into());
    match size {
        2 => shuffle_elements(bytes.as_chunks_mut::<2>().0, &mut rng),
        4 => shuffle_elements(bytes.as_chunks_mut::<4>().0, &mut rng),
        8 => shuffle_elements(bytes.as_chunks_mut::<8>().0, &mut rng),
        _ => panic!("no element has {size} bytes"),
    }
}

fn shuffle_elements<T>(elements: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..elements.len()).rev() {
        elements.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A uniform number below `limit` (Lemire, ACM Trans. Model. Comput. Simul. 29, 2019).
fn below(limit: u64, rng: &mut ChaCha8Rng) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(limit);
        // Rejects the lowest 2^64 mod `limit` products, which would favor some numbers.
        if product as u64 >= limit.wrapping_neg() % limit {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(count: u16, seed: u64, name: &str) -> Vec<u16> {
        let mut bytes: Vec<u8> = (0..count).flat_map(u16::to_le_bytes).collect();
        shuffle(&mut bytes, 2, seed, name);
        bytes.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect()
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_never_changes() {
        let mut sorted = shuffled(1000, 1, "a");
        assert_ne!(sorted, (0..1000).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(shuffled(10, 7, "w"), PINNED);
        assert_ne!(shuffled(10, 8, "w"), PINNED);
        assert_ne!(shuffled(10, 7, "v"), PINNED);
        assert_eq!(shuffled(1, 7, "w"), [0]);
        assert!(shuffled(0, 7, "w").is_empty());
    }

    /// From `tests/data/shuffle.py`, an independent implementation. A change would change every randomized spectrum.
    const PINNED: [u16; 10] = [2, 4, 8, 0, 6, 7, 5, 9, 1, 3];

    #[test]
    fn the_permutation_does_not_depend_on_the_element_size() {
        let of_size = |size: usize| -> Vec<u8> {
            let mut bytes: Vec<u8> = (0..50_u8).flat_map(|value| std::iter::repeat_n(value, size)).collect();
            shuffle(&mut bytes, size, 3, "x");
            assert!(bytes.chunks(size).all(|element| element.iter().all(|byte| *byte == element[0])));
            bytes.into_iter().step_by(size).collect()
        };
        assert_eq!(of_size(2), of_size(4));
        assert_eq!(of_size(2), of_size(8));
    }

    #[test]
    fn all_permutations_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            *counts.entry(shuffled(3, seed, "p")).or_insert(0) += 1;
        }
        // 1000 each, with a standard deviation of 29.
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (870..1130).contains(count)), "{counts:?}");
    }
}
