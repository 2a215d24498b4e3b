//! Block-quantized types: a fixed number of elements share one block with their scale factors (`ggml-common.h` of llama.cpp).

use std::fmt;

/// A block-quantized type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BlockType {
    /// Its name, e.g. `Q4_K`.
    pub name: &'static str,
    /// Elements of a block, which are consecutive in a row.
    pub elements: u64,
    /// Bytes of a block.
    pub bytes: u64,
}

/// Name, elements and bytes of each known type.
const TYPES: &[(&str, u64, u64)] = &[
    ("Q4_0", 32, 18),
    ("Q4_1", 32, 20),
    ("Q5_0", 32, 22),
    ("Q5_1", 32, 24),
    ("Q8_0", 32, 34),
    ("Q2_K", 256, 84),
    ("Q3_K", 256, 110),
    ("Q4_K", 256, 144),
    ("Q5_K", 256, 176),
    ("Q6_K", 256, 210),
];

impl BlockType {
    /// The type of this name, if it is known.
    pub fn from_name(name: &str) -> Option<BlockType> {
        let &(name, elements, bytes) = TYPES.iter().find(|known| known.0 == name)?;
        Some(BlockType { name, elements, bytes })
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
