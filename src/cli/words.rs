//! Numbers with their nouns.

/// `1 layer`, `2 layers`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
