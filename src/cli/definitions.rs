//! Prose and lists of names with their meanings, as wide as the help.

use super::table;

/// The width of help when nothing states the width of a terminal, and its largest width.
pub const WIDEST: usize = 100;

/// The width that help gets: that of the terminal or `COLUMNS`, at most [`WIDEST`]. The same as for help by the parser.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let stated = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(stated).filter(|&columns| columns > 0).unwrap_or(WIDEST).min(WIDEST)
}

/// `text` in lines of at most `width` columns.
pub fn prose(text: &str, width: usize) -> String {
    table::words(text, width)
}

/// A line or more for each name and its meaning: indented, aligned, and at most `width` columns wide.
pub fn definitions<'a>(items: impl IntoIterator<Item = (&'a str, String)>, width: usize) -> String {
    const INDENT: &str = "  ";
    let items: Vec<(&str, String)> = items.into_iter().collect();
    let lines = table::labeled(&items, Some(width.saturating_sub(INDENT.len())));
    lines.lines().map(|line| format!("{INDENT}{line}\n")).collect()
}
