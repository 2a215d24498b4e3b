//! JSON, indented.

use std::io;

use serde::Serialize;

pub(super) fn render(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
