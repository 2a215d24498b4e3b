//! NumPy's format for one array, version 1.0: a magic number, a header in Python notation, and the elements as in
//! memory (numpy.lib.format).

/// A 1-D array of f64, little-endian.
pub(super) fn of_vector(numbers: &[f64]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    // Magic number, length (2 bytes) and header, which ends with a newline, fill blocks of 64 bytes.
    let used = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', used.next_multiple_of(64) - used));
    header.push('\n');
    // The header of a 1-D array is far below the 64 KiB limit of its length.
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes();
    let elements = numbers.iter().flat_map(|number| number.to_le_bytes());
    MAGIC.iter().copied().chain(length).chain(header.into_bytes()).chain(elements).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_numpy() {
        // numpy.save(file, numpy.array([1.5, -2.0])), numpy 2.4.6
        let mut expected =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }".to_vec();
        expected.extend([b' '; 60]);
        expected.push(b'\n');
        expected.extend([0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0]);
        assert_eq!(of_vector(&[1.5, -2.0]), expected);
        for count in [0, 1, 9, 10, 560, 100_000] {
            assert_eq!((of_vector(&vec![0.0; count]).len() - 8 * count) % 64, 0);
        }
    }
}
