//! YAML scalars for formats whose lines are otherwise fixed.

/// Writes any `text` as a YAML string.
///
/// Single quotes keep backslashes as they are, which patterns need. Names with control characters are written as JSON
/// strings, which are valid YAML.
pub(super) fn string(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        let escape = |c: char| match c {
            '"' | '\\' => format!("\\{c}"),
            ' '..='~' => c.to_string(),
            c => format!("\\U{:08x}", u32::from(c)),
        };
        return format!("\"{}\"", text.chars().map(escape).collect::<String>());
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// `number` with a decimal point, so that no reader takes it for a whole number, and without an exponent, for which
/// YAML 1.1 has its own format.
pub(super) fn real(number: f64) -> String {
    let text = number.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// The lines of a list.
pub(super) fn list(indent: usize, items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| format!("{:indent$}- {item}\n", "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_kind() {
        assert_eq!(string(r"^model\.layers\.0$"), r"'^model\.layers\.0$'");
        assert_eq!(string("it's: #1"), "'it''s: #1'");
        assert_eq!(string("a\n\"b\\"), r#""a\U0000000a\"b\\""#);
        assert_eq!(string(""), "''");
    }

    #[test]
    fn numbers_stay_real() {
        for (number, text) in
            [(0.5, "0.5"), (1.0, "1.0"), (0.0, "0.0"), (1e-7, "0.0000001"), (0.1 + 0.2, "0.30000000000000004")]
        {
            assert_eq!(real(number), text);
        }
    }
}
