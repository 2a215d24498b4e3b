//! The order of names in which numbers are compared as numbers.

/// A sort key that puts `layer.10` behind `layer.9`: words, each with the length and digits of the number behind it.
/// Different names may have the same key (`1` and `01`).
pub(super) fn natural(name: &str) -> Vec<(String, usize, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[text..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - text);
        let number = rest[text..text + digits].trim_start_matches('0');
        key.push((rest[..text].to_owned(), number.len(), number.to_owned()));
        rest = &rest[text + digits..];
    }
    key
}
