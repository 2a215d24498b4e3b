//! A Markdown table.

use super::Table;
use crate::error::printable;
use crate::message::Message;

pub(super) fn render(table: &Table, footer: &[(&'static str, Message)]) -> String {
    let (names, rows) = table.for_people();
    let line = |cells: Vec<String>| {
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut text = line(names.iter().map(|name| (*name).to_owned()).collect());
    text += "|";
    for numeric in table.numeric() {
        text += if numeric { "--:|" } else { ":--|" };
    }
    text += "\n";
    rows.into_iter().for_each(|row| text += &line(row));
    for (label, content) in footer {
        text += &format!("\n{label}: `{}`\n", printable(&content.to_string()));
    }
    text
}
