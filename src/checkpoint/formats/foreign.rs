//! Recognizes files that are not weights in a supported format, by their first bytes, so that messages can say what they are.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes at the start of a file by which it is recognized: tar has its mark at byte 257.
pub(super) const HEAD_BYTES: u64 = 512;

/// Extensions of weights in other formats.
const EXTENSIONS: [&str; 16] = [
    "bin", "ckpt", "gguf", "ggml", "h5", "keras", "msgpack", "nemo", "npy", "npz", "onnx", "pdparams", "pkl", "pt",
    "pth", "tflite",
];

const CONVERT: &str = "convert it: load it in PyTorch, and save it with safetensors.torch.save_file";
const AGAIN: &str = "the download failed, perhaps for lack of a login or an accepted license: download it again";
const SOURCE: &str = "use the safetensors checkpoint that it was made from";
const UNPACK: &str = "unpack it first";

/// What a file is, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    pub what: &'static str,
    pub hint: &'static str,
}

/// Recognizes a file by its first bytes, `head`; `None` for safetensors and whatever is unknown.
pub(super) fn recognize(head: &[u8]) -> Option<Foreign> {
    let known = |what, hint| Some(Foreign { what, hint });
    let text = std::str::from_utf8(head)
        .or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()]))
        .unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let tag = text.get(..15).unwrap_or(text).to_ascii_lowercase();
    let contains = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    match head {
        [] => known("an empty file", "download or save it again"),
        _ if text.starts_with("version https://git-lfs") => known(
            "a Git LFS pointer, which stands for the weights",
            "run `git lfs pull` in its folder, or download the file itself",
        ),
        _ if tag.starts_with("<!doctype") || tag.starts_with("<html") => known("an HTML page", AGAIN),
        _ if tag.starts_with("<?xml") => known("an XML document", AGAIN),
        _ if text.starts_with(['{', '[']) => known("a JSON document", AGAIN),
        [b'G', b'G', b'U', b'F', ..] => known("a GGUF file, which is not supported", SOURCE),
        [b'l' | b'f', b'm', b'g', b'g', ..] | [b't', b'j', b'g', b'g', ..] => {
            known("a GGML file, which is not supported", SOURCE)
        }
        [b'P', b'K', 3, 4, ..] if contains(b".npy") => {
            known("an archive of NumPy arrays (.npz)", "save the arrays with safetensors.numpy.save_file")
        }
        [b'P', b'K', 3, 4, ..] if contains(b"data.pkl") => known("a PyTorch file, as torch.save writes it", CONVERT),
        [b'P', b'K', 3, 4, ..] => known("a ZIP archive, perhaps of torch.save", CONVERT),
        [0x80, 2..=5, ..] => known("a Python pickle, perhaps of torch.save", CONVERT),
        [0x89, b'H', b'D', b'F', ..] => known(
            "an HDF5 file, as Keras writes it",
            "convert it: load it in Keras, and save the weights with safetensors.numpy.save_file",
        ),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            known("a NumPy array (.npy)", "save the array with safetensors.numpy.save_file")
        }
        [0x1f, 0x8b, ..] => known("compressed by gzip", "uncompress it first: gunzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => known("compressed by zstd", "uncompress it first: unzstd"),
        [b'B', b'Z', b'h', ..] => known("compressed by bzip2", "uncompress it first: bunzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => known("compressed by xz", "uncompress it first: unxz"),
        [0x89, b'P', b'N', b'G', ..] => known("a PNG picture", AGAIN),
        [0xff, 0xd8, 0xff, ..] => known("a JPEG picture", AGAIN),
        [b'%', b'P', b'D', b'F', ..] => known("a PDF document", AGAIN),
        [0x7f, b'E', b'L', b'F', ..] => known("a program", AGAIN),
        _ if head.get(257..262) == Some(b"ustar") => known("a tar archive", UNPACK),
        _ if head.get(4..8) == Some(b"TFL3") => known("a TensorFlow Lite model", SOURCE),
        // Protocol buffers: the field `ir_version`, a small number, and then the name of the producer.
        [8, 1..=20, 18, ..] => known("an ONNX model", SOURCE),
        _ if is_text(head) => known("a text file", AGAIN),
        _ => None,
    }
}

/// True if `head` has printable characters only. The last one may be cut.
fn is_text(head: &[u8]) -> bool {
    let valid = std::str::from_utf8(head).or_else(|error| match error.error_len() {
        None => std::str::from_utf8(&head[..error.valid_up_to()]),
        Some(_) => Err(error),
    });
    valid.is_ok_and(|text| !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()))
}

/// What a file of JSON is instead, by its first bytes; `None` if it may be JSON.
pub(super) fn instead_of_json(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(HEAD_BYTES as usize)];
    let is_text = |foreign: &Foreign| matches!(foreign.what, "a JSON document" | "a text file");
    recognize(head).filter(|foreign| !head.is_empty() && !is_text(foreign)).map(|foreign| foreign.what)
}

/// True if the extension is that of weights in another format.
pub(super) fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    path.is_file() && EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

/// Recognizes the file at `path`.
pub(super) fn recognize_file(path: &Path) -> Option<Foreign> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    recognize(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognized_by_their_first_bytes() {
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        let zip = |name: &[u8]| [b"PK\x03\x04\x14\0", &[0; 24][..], name].concat();
        for (head, what) in [
            (&b""[..], "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS"),
            (b"\n<!DOCTYPE html><html>", "HTML"),
            (b"<html lang=\"en\">", "HTML"),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?>", "XML"),
            (b"{\"error\": \"not found\"}", "JSON"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (&zip(b"archive/data.pkl"), "PyTorch"),
            (&zip(b"arr_0.npy"), "NumPy"),
            (&zip(b"word/document.xml"), "ZIP"),
            (b"\x80\x02\x8a\x0a", "pickle"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x93NUMPY\x01", "NumPy"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff\xe0", "JPEG"),
            (&tar, "tar"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"lmgg\x01\0\0\0", "GGML"),
            (b"tjgg\x03\0\0\0", "GGML"),
            (b"Invalid username or password.", "a text file"),
            ("Zugang verweigert \u{fc}".as_bytes().split_last().unwrap().1, "a text file"),
        ] {
            let found = recognize(head).unwrap_or_else(|| panic!("{what} is not recognized"));
            assert!(found.what.contains(what), "{what}: {}", found.what);
        }
        for head in [&b"\x46\0\0\0\0\0\0\0{\"a\":"[..], b"abc\0", b"\0", b"\xff\xfe\xfd", &[7; 512]] {
            assert_eq!(recognize(head), None, "{head:?}");
        }
    }
}
