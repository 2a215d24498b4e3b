//! safetensors: an 8-byte little-endian header length, a JSON header, and data without holes.
//!
//! The file is untrusted. Its size bounds every allocation, all arithmetic is checked, and a header that does not
//! describe every byte of the file is refused before anything is mapped. Errors name the tensor that breaks a rule.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::format::{Format, Header, HeaderError};
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::hash::sha256;
use crate::checkpoint::tensor::TensorInfo;

/// Longest header accepted, as in the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 64;

const HINT_FORMAT: &str = "only safetensors files are read: download or convert it again";

/// The format itself.
pub(super) struct Safetensors;

impl Format for Safetensors {
    fn extension(&self) -> &'static str {
        "safetensors"
    }

    fn claims(&self, path: &Path, head: &[u8]) -> bool {
        path.extension().is_some_and(|extension| extension == self.extension()) || self.is_plausible(head)
    }

    /// There is no magic number, only a plausible length before a JSON object.
    fn is_plausible(&self, head: &[u8]) -> bool {
        let plausible = |head: &[u8; 9]| {
            let [length @ .., first] = *head;
            u64::from_le_bytes(length) <= MAX_HEADER_BYTES && first == b'{'
        };
        head.first_chunk().is_some_and(plausible)
    }

    fn read_header(&self, file: &mut File, bytes: u64) -> Result<Header, HeaderError> {
        read(file, bytes)
    }
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "shape")]
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// A list of dimensions, limited so that it cannot fill the memory.
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

/// The entries of a header in file order.
struct Entries<'a> {
    /// Set to the name of the first malformed entry.
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
fn read(file: &mut impl Read, file_bytes: u64) -> Result<Header, HeaderError> {
    if file_bytes < 8 {
        let cause = format!("has {file_bytes} bytes, but the header length alone takes 8");
        return Err(HeaderError::damaged(cause));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(HeaderError::unreadable)?;
    let header_bytes = u64::from_le_bytes(length);
    let data_bytes = (file_bytes - 8).checked_sub(header_bytes).ok_or_else(|| {
        if header_bytes > MAX_HEADER_BYTES {
            return HeaderError::file(
                "is not a safetensors file: it does not begin with the length of a header",
                HINT_FORMAT,
            );
        }
        let cause = format!("states a header of {header_bytes} bytes, but the whole file has {file_bytes}");
        HeaderError::file(cause, "the file is truncated, or is not a safetensors file")
    })?;
    if header_bytes > MAX_HEADER_BYTES {
        let cause = format!("states a header of {header_bytes} bytes, more than the format's {MAX_HEADER_BYTES}");
        return Err(HeaderError::file(cause, HINT_FORMAT));
    }
    let mut json = vec![0; header_bytes as usize];
    file.read_exact(&mut json).map_err(HeaderError::unreadable)?;
    Ok(Header { tensors: parse(&json, data_bytes)?, sha256: sha256(&json) })
}

/// Validates the JSON of a header in front of `data_bytes` bytes of data.
fn parse(json: &[u8], data_bytes: u64) -> Result<Vec<TensorInfo>, HeaderError> {
    let entries = entries(json)?;
    let data_start = 8 + json.len() as u64;
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for (name, entry) in entries {
        if !names.insert(name.clone()) {
            return Err(HeaderError::tensor(&name, "appears twice in the header"));
        }
        if let Some(entry) = entry {
            tensors.push(tensor(name, entry, data_start, data_bytes)?);
        }
    }
    check_covers(&tensors, data_start, data_bytes)?;
    Ok(tensors)
}

/// Parses the JSON without checking the entries against the file.
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
        let cause = format!("its data ends at byte {end}, but the file has only {data_bytes} bytes of data");
        return Err(HeaderError::tensor(&name, cause));
    }
    let needed = dtype.tensor_bytes(&shape).map_err(|cause| HeaderError::tensor(&name, cause))?;
    if let Some(needed) = needed.filter(|&needed| needed != u128::from(end - begin)) {
        let cause = format!(
            "shape {shape:?} of {dtype} takes {needed} bytes, but the header gives it {} (offsets {begin}..{end})",
            end - begin
        );
        return Err(HeaderError::tensor(&name, cause));
    }
    // Cannot overflow: `begin <= data_bytes`, and the file has `data_start + data_bytes` bytes.
    Ok(TensorInfo { name, dtype, shape, offset: data_start + begin, bytes: end - begin })
}

/// The format requires that the tensors cover the data without overlaps and holes.
fn check_covers(tensors: &[TensorInfo], data_start: u64, data_bytes: u64) -> Result<(), HeaderError> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let mut end = data_start;
    for tensor in by_offset {
        if tensor.offset != end {
            let relation = if tensor.offset < end { "overlaps the tensor before it" } else { "follows a gap" };
            let cause = format!("{relation}: it begins at byte {} instead of {}", tensor.offset, end);
            return Err(HeaderError::tensor(&tensor.name, cause));
        }
        end += tensor.bytes;
    }
    if end != data_start + data_bytes {
        let cause = format!("{} bytes follow the last tensor", data_start + data_bytes - end);
        return Err(HeaderError::damaged(cause));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor_of(dtype: &str, shape: &str, bytes: usize) -> Result<Header, HeaderError> {
        let json = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#);
        let file = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; bytes]].concat();
        read(&mut &file[..], file.len() as u64)
    }

    #[test]
    fn blocks_are_counted_in_bytes() {
        let header = tensor_of("Q4_K", "[2, 256]", 288).unwrap();
        assert_eq!((header.tensors[0].bytes, header.tensors[0].dtype.to_string()), (288, "Q4_K".into()));
        for (shape, bytes, cause) in [
            ("[2, 256]", 287, "shape [2, 256] of Q4_K takes 288 bytes, but the header gives it 287"),
            ("[256, 2]", 288, "rows that are not whole blocks of 256 Q4_K"),
        ] {
            let refused = tensor_of("Q4_K", shape, bytes).unwrap_err();
            assert_eq!(refused.tensor.as_deref(), Some("a"));
            assert!(refused.cause.contains(cause), "{}", refused.cause);
        }
    }

    #[test]
    fn files_are_claimed_by_extension_or_by_their_first_bytes() {
        let head = |length: u64, rest: &[u8]| [&length.to_le_bytes()[..], rest].concat();
        let claims = |path: &str, head: &[u8]| Safetensors.claims(Path::new(path), head);
        assert!(claims("a.safetensors", b""));
        assert!(claims("blob", &head(70, b"{\"a\":")));
        for head in [head(MAX_HEADER_BYTES + 1, b"{}"), head(70, b"[]"), head(70, b""), b"short".to_vec()] {
            assert!(!claims("blob", &head), "{head:?}");
        }
    }
}
