//! Messages that mention options and commands. Every front end writes these in its own form.
//!
//! The library does not know whether its user types `--rounding largest-remainder` or calls a method. So its messages mark
//! options and commands, and a [`Style`] writes them. Names from files are [quoted](verbatim) before they go into a message.

use std::fmt;

/// Marks options and commands. Names hardly contain this sign, so one that is not quoted is written as it is, too.
const MARK: char = '§';

/// A sentence with marked options and commands.
///
/// `§name` marks an option, `§name=value` an option with its value, and `§(inspect by=tensor)` a command with an option.
/// `§§` is a `§`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(String);

/// How a front end writes options and commands.
pub trait Style {
    /// An option, with its value if the sentence names one.
    fn option(&self, name: &str, value: Option<&str>) -> String;

    /// A command, given its words: its name, arguments, and options as `name=value`.
    fn command(&self, words: &[&str]) -> String;
}

/// Quotes `text` for use in a message, so that a name in it is not mistaken for an option.
pub fn verbatim(text: &str) -> String {
    text.replace('§', "§§")
}

/// `rounding = largest-remainder`, and `inspect (by = tensor)`: the default form, for programs without a front end.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl Style for Plain {
    fn option(&self, name: &str, value: Option<&str>) -> String {
        value.map_or_else(|| format!("`{name}`"), |value| format!("`{name} = {value}`"))
    }

    fn command(&self, words: &[&str]) -> String {
        let (options, words): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.contains('='));
        let options = options.iter().map(|option| option.replacen('=', " = ", 1)).collect::<Vec<_>>().join(", ");
        let words = words.join(" ");
        if options.is_empty() { format!("`{words}`") } else { format!("`{words}` ({options})") }
    }
}

impl Message {
    /// A text without marks: every `§` in it stays a `§`.
    pub fn literal(text: &str) -> Message {
        Message(verbatim(text))
    }

    /// The sentence as `style` writes it.
    pub fn in_style(&self, style: &dyn Style) -> String {
        let mut written = String::new();
        let mut rest = self.0.as_str();
        while let Some(start) = rest.find(MARK) {
            written.push_str(&rest[..start]);
            rest = &rest[start + MARK.len_utf8()..];
            let (mark, length) = mark(rest, style);
            written.push_str(&mark);
            rest = &rest[length..];
        }
        written + rest
    }
}

/// Returns the mark at the start of `text`, which follows a `§`, as `style` writes it, and its length in bytes. A `§` before
/// anything else stays a `§`.
fn mark(text: &str, style: &dyn Style) -> (String, usize) {
    if text.starts_with(MARK) {
        return (MARK.into(), MARK.len_utf8());
    }
    if let Some(end) = text.strip_prefix('(').and_then(|inside| inside.find(')')) {
        let words: Vec<&str> = text[1..=end].split_whitespace().collect();
        return (style.command(&words), end + 2);
    }
    let name = text.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(text.len());
    if name == 0 {
        return (MARK.into(), 0);
    }
    match text[name..].strip_prefix('=') {
        Some(value) => {
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            let value = value[..end].trim_end_matches([',', ';', ':', '.', ')']);
            (style.option(&text[..name], Some(value)), name + 1 + value.len())
        }
        None => (style.option(&text[..name], None), name),
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Message {
        Message(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message(text)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_style(&Plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_commands_are_written_in_a_style() {
        for (marked, plain) in [
            (
                "use §rounding=largest-remainder, or more §experts",
                "use `rounding = largest-remainder`, or more `experts`",
            ),
            ("§compare=peak,median,ks does it.", "`compare = peak,median,ks` does it."),
            ("§(inspect by=tensor) lists them (§layers)", "`inspect` (by = tensor) lists them (`layers`)"),
            ("§(doctor)", "`doctor`"),
            ("costs 5 §, or §5, or §", "costs 5 §, or §5, or §"),
            ("§(never closed", "§(never closed"),
            ("§§rounding costs §§5", "§rounding costs §5"),
            (&verbatim("a.§rule.§(x).weight§"), "a.§rule.§(x).weight§"),
        ] {
            assert_eq!(Message::from(marked).to_string(), plain);
        }
    }
}
