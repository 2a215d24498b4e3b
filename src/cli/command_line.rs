//! How the command line writes options and commands in messages.

use crate::message::Style;

/// `--rounding largest-remainder`, and `htsr inspect --by tensor` in backquotes.
pub struct CommandLine;

impl Style for CommandLine {
    fn option(&self, name: &str, value: Option<&str>) -> String {
        value.map_or_else(|| format!("--{name}"), |value| format!("--{name} {value}"))
    }

    fn command(&self, words: &[&str]) -> String {
        let word = |word: &&str| match word.split_once('=') {
            Some((name, value)) => self.option(name, Some(value)),
            None => (*word).to_owned(),
        };
        format!("`htsr {}`", words.iter().map(word).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn options_are_as_they_are_typed() {
        let message = Message::from("use §rounding=largest-remainder; §(inspect MODEL by=tensor) lists §layers");
        let typed = "use --rounding largest-remainder; `htsr inspect MODEL --by tensor` lists --layers";
        assert_eq!(message.in_style(&CommandLine), typed);
    }
}
