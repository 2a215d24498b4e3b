//! Text in several lines, broken only between words.

use super::column::width;

/// Breaks `text` at blanks into lines of at most `limit` columns. A longer word gets its own line.
pub fn words(text: &str, limit: usize) -> String {
    fill(text.split(' '), " ", limit)
}

/// A name in lines of at most `limit` columns, broken behind underscores.
pub fn name(text: &str, limit: usize) -> String {
    fill(text.split_inclusive('_'), "", limit)
}

/// The width of the widest piece of a name that cannot be broken further.
pub fn narrowest_name(text: &str) -> usize {
    text.split_inclusive('_').map(width).max().unwrap_or(0)
}

fn fill<'a>(pieces: impl Iterator<Item = &'a str>, between: &str, limit: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if width(line) + between.len() + width(piece) <= limit => {
                line.push_str(between);
                line.push_str(piece);
            }
            _ => lines.push(piece.to_owned()),
        }
    }
    lines.join("\n")
}
