//! Splits Rust source into words and punctuation, without comments, strings and test code.

/// Splits a source into words and punctuation marks. `::` is one token; string and character literals are left out.
pub fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest);
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        let length = match first {
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the bytes of the comment, string, character or lifetime mark at the start of `source`; 0 if there is none.
fn literal_or_comment(source: &str) -> usize {
    if source.starts_with("//") {
        return source.find('\n').unwrap_or(source.len());
    }
    if source.starts_with("/*") {
        return block_comment(source);
    }
    let prefix = source.len() - source.trim_start_matches(['b', 'c']).len();
    let raw = &source[prefix..];
    if prefix <= 1 && raw.starts_with('r') {
        let hashes = raw[1..].len() - raw[1..].trim_start_matches('#').len();
        if raw[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = prefix + hashes + 2;
            return source[body..].find(&end).map_or(source.len(), |at| body + at + end.len());
        }
    }
    if prefix <= 1 && raw.starts_with('"') {
        return prefix + quoted(raw, '"');
    }
    if source.starts_with('\'') {
        let mut characters = source.chars().skip(1);
        let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
        return if is_character { quoted(source, '\'') } else { 1 };
    }
    0
}

fn block_comment(source: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    loop {
        let rest = &source[at..];
        match () {
            () if rest.is_empty() => return at,
            () if rest.starts_with("/*") => (at, depth) = (at + 2, depth + 1),
            () if rest.starts_with("*/") => (at, depth) = (at + 2, depth - 1),
            () => at += rest.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Returns the bytes of a literal that begins and ends with `quote`.
fn quoted(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in source.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    source.len()
}

/// Returns the tokens without items under `#[cfg(test)]`, and the names of test modules in their own file.
pub fn without_tests<'a>(tokens: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&MARK) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        at += MARK.len();
        while tokens[at..].starts_with(&["#"]) {
            at += 1 + group(&tokens[at + 1..]);
        }
        if let [.., "mod", name, ";"] = tokens[at..at + 3] {
            modules.push(name);
        }
        at += item(&tokens[at..]);
    }
    (kept, modules)
}

/// Returns the number of tokens of the item at the start, which ends with a semicolon or a block.
fn item(tokens: &[&str]) -> usize {
    let mut at = 0;
    loop {
        match tokens[at] {
            ";" => return at + 1,
            "{" => return at + group(&tokens[at..]),
            "(" | "[" => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
}

/// Returns the number of tokens of the bracketed group at the start, including brackets.
pub fn group(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
