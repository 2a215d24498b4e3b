//! A safetensors header: where each tensor lies in its file.
//!
//! The file is untrusted. Its size bounds every allocation, all arithmetic is checked, and a header that does not
//! describe the file byte for byte is refused before anything is mapped. The rules are those of the format (8-byte
//! little-endian header length, JSON, data without holes); the errors say which tensor breaks them.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::dtype::Dtype;

/// Longest header that is read, the limit of the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// One tensor as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Full name, e.g. `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first; elements are row-major.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A validated header.
#[derive(Debug)]
pub(super) struct Header {
    pub tensors: Vec<TensorInfo>,
    pub sha256: String,
}

/// Why a header is refused: the tensor, if it is about one, the cause, and a hint.
#[derive(Debug)]
pub(super) struct HeaderError {
    pub tensor: Option<String>,
    pub cause: String,
    pub hint: &'static str,
}

const HINT_DAMAGED: &str = "the file is damaged or incomplete: download or save it again";
const HINT_FORMAT: &str = "is this a safetensors file? `htsr` reads no other format";

impl HeaderError {
    fn file(cause: impl Into<String>, hint: &'static str) -> Self {
        HeaderError { tensor: None, cause: cause.into(), hint }
    }

    fn tensor(name: &str, cause: impl Into<String>) -> Self {
        HeaderError { tensor: Some(name.into()), cause: cause.into(), hint: HINT_DAMAGED }
    }
}

/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 64;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "shape")]
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// A list of dimensions that ends before it can fill the memory.
fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Dimensions;

    impl<'de> Visitor<'de> for Dimensions {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX_DIMENSIONS} dimensions")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
            let mut dimensions = Vec::new();
            while let Some(dimension) = list.next_element()? {
                if dimensions.len() == MAX_DIMENSIONS {
                    return Err(A::Error::invalid_length(MAX_DIMENSIONS + 1, &self));
                }
                dimensions.push(dimension);
            }
            Ok(dimensions)
        }
    }

    deserializer.deserialize_seq(Dimensions)
}

/// The entries of a header in file order; where one is malformed, `failed` is its name.
struct Entries<'a> {
    failed: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Vec<(String, Option<Entry>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<(String, Option<Entry>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let entry = if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                None
            } else {
                Some(map.next_value().inspect_err(|_| *self.failed = Some(name.clone()))?)
            };
            entries.push((name, entry));
        }
        Ok(entries)
    }
}

/// Reads and validates the header of a file of `file_bytes` bytes from its start.
pub(super) fn read(file: &mut impl Read, file_bytes: u64) -> Result<Header, HeaderError> {
    let unreadable = |error: std::io::Error| HeaderError::file(format!("cannot be read: {error}"), HINT_DAMAGED);
    if file_bytes < 8 {
        let cause = format!("has {file_bytes} bytes; the header length alone takes 8");
        return Err(HeaderError::file(cause, HINT_DAMAGED));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(unreadable)?;
    let header_bytes = u64::from_le_bytes(length);
    let data_bytes = (file_bytes - 8).checked_sub(header_bytes).ok_or_else(|| {
        let cause = format!("says its header has {header_bytes} bytes, but the whole file has {file_bytes}");
        HeaderError::file(cause, "the file is cut short, or it is not a safetensors file")
    })?;
    if header_bytes > MAX_HEADER_BYTES {
        let cause = format!("says its header has {header_bytes} bytes, more than the format's {MAX_HEADER_BYTES}");
        return Err(HeaderError::file(cause, HINT_FORMAT));
    }
    let mut json = vec![0; header_bytes as usize];
    file.read_exact(&mut json).map_err(unreadable)?;
    Ok(Header { tensors: parse(&json, data_bytes)?, sha256: hex(&Sha256::digest(&json)) })
}

/// Validates the JSON of a header in front of `data_bytes` bytes of data.
fn parse(json: &[u8], data_bytes: u64) -> Result<Vec<TensorInfo>, HeaderError> {
    let entries = entries(json)?;
    let data_start = 8 + json.len() as u64;
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for (name, entry) in entries {
        if !names.insert(name.clone()) {
            return Err(HeaderError::tensor(&name, "stands twice in the header"));
        }
        if let Some(entry) = entry {
            tensors.push(tensor(name, entry, data_start, data_bytes)?);
        }
    }
    check_covers(&tensors, data_start, data_bytes)?;
    Ok(tensors)
}

/// Parses the JSON, and nothing else.
fn entries(json: &[u8]) -> Result<Vec<(String, Option<Entry>)>, HeaderError> {
    let mut failed = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let entries = Entries { failed: &mut failed }.deserialize(&mut deserializer);
    let entries = entries.and_then(|entries| deserializer.end().map(|()| entries));
    entries.map_err(|error| match failed {
        Some(name) => HeaderError::tensor(&name, format!("its header entry is malformed: {error}")),
        None => HeaderError::file(format!("its header is not a JSON object: {error}"), HINT_FORMAT),
    })
}

fn tensor(name: String, entry: Entry, data_start: u64, data_bytes: u64) -> Result<TensorInfo, HeaderError> {
    let Entry { dtype, shape, data_offsets: (begin, end) } = entry;
    let dtype = Dtype::from_name(&dtype);
    if begin > end {
        return Err(HeaderError::tensor(&name, format!("its data ends ({end}) before it begins ({begin})")));
    }
    if end > data_bytes {
        let cause = format!("its data ends at byte {end}, but the file holds only {data_bytes} bytes of data");
        return Err(HeaderError::tensor(&name, cause));
    }
    let elements = shape.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim));
    let elements = elements.ok_or_else(|| HeaderError::tensor(&name, format!("the product of {shape:?} overflows")))?;
    if let Some(bits) = dtype.bits() {
        let needed = elements.checked_mul(bits).map(|bits| bits.div_ceil(8));
        if needed != Some(end - begin) {
            let needed = needed.map_or("more than 2^61".to_owned(), |bytes| bytes.to_string());
            let cause = format!(
                "shape {shape:?} of {dtype} takes {needed} bytes, but the header gives it {} (offsets {begin}..{end})",
                end - begin
            );
            return Err(HeaderError::tensor(&name, cause));
        }
    }
    // `end <= data_bytes`, and the file, of `data_start + data_bytes` bytes, exists: this cannot overflow.
    Ok(TensorInfo { name, dtype, shape, offset: data_start + begin, bytes: end - begin })
}

/// The format wants the tensors to cover the data without overlap and without holes.
fn check_covers(tensors: &[TensorInfo], data_start: u64, data_bytes: u64) -> Result<(), HeaderError> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let mut end = data_start;
    for tensor in by_offset {
        if tensor.offset != end {
            let relation = if tensor.offset < end { "overlaps the tensor before it" } else { "follows a hole" };
            let cause = format!("{relation}: it begins at byte {}, expected {}", tensor.offset, end);
            return Err(HeaderError::tensor(&tensor.name, cause));
        }
        end += tensor.bytes;
    }
    if end != data_start + data_bytes {
        let cause = format!("{} bytes follow the last tensor", data_start + data_bytes - end);
        return Err(HeaderError::file(cause, HINT_DAMAGED));
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
