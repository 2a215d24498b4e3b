//! A permutation of the elements of a matrix that is the same on every machine.
//!
//! Fisher and Yates' shuffle (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 P), driven by ChaCha8, whose stream is
//! fixed by its definition: neither the number of threads nor the version of a library has a say. Different tensors get
//! different permutations from the same seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// Shuffles elements of `size` bytes each, 2, 4 or 8, by the permutation that `seed` and `name` determine.
///
/// # Panics
///
/// For any other size.
pub(super) fn shuffle(bytes: &mut [u8], size: usize, seed: u64, name: &str) {
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

/// A number below `limit`, each as likely as the other (Lemire, ACM Trans. Model. Comput. Simul. 29, 2019).
fn below(limit: u64, rng: &mut ChaCha8Rng) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(limit);
        // The lowest 2^64 mod `limit` products would make some numbers more likely.
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
    fn a_shuffle_is_a_permutation_and_the_same_for_ever() {
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

    /// By `tests/data/shuffle.py`, which shares no code with this. A change would change every randomized spectrum.
    const PINNED: [u16; 10] = [2, 4, 8, 0, 6, 7, 5, 9, 1, 3];

    #[test]
    fn elements_of_every_size_move_alike() {
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
    fn every_permutation_is_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            *counts.entry(shuffled(3, seed, "p")).or_insert(0) += 1;
        }
        // 1000 each, with a standard deviation of 29.
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (870..1130).contains(count)), "{counts:?}");
    }
}
