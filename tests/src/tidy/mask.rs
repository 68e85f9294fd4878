//! Blanks out comments and literals, so that a rule finds no word in them.
//!
//! Invariant: the result has the same lines as the text, and each line at most its length.

/// The text with comments, strings and character literals replaced by spaces.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let blank_bytes = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_bytes(rest),
            '"' => string_bytes(rest),
            'r' | 'b' | 'c' if !after_word => prefixed_literal_bytes(rest),
            '\'' => character_bytes(rest),
            _ => 0,
        };
        let taken = blank_bytes.max(first.len_utf8());
        let (piece, remaining) = rest.split_at(taken);
        if blank_bytes == 0 {
            code.push_str(piece);
        } else {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        after_word = blank_bytes == 0 && (first.is_alphanumeric() || first == '_');
        rest = remaining;
    }
    code
}

fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string that `text` starts with, escapes and quotes included.
fn string_bytes(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the literal with a prefix that `text` starts with; 0 if it is a name.
fn prefixed_literal_bytes(text: &str) -> usize {
    let prefix = text.chars().take_while(|c| "rbc".contains(*c)).count();
    let after = &text[prefix..];
    let hashes = after.chars().take_while(|c| *c == '#').count();
    let raw = text[..prefix].contains('r');
    if raw && after[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let open = prefix + hashes + 1;
        return text[open..]
            .find(&end)
            .map_or(text.len(), |at| open + at + end.len());
    }
    match after.chars().next() {
        Some('"') if !raw => prefix + string_bytes(after),
        Some('\'') if &text[..prefix] == "b" => prefix + character_bytes(after),
        _ => 0,
    }
}

/// The length of the character literal that `text` starts with; 0 if it is a lifetime.
fn character_bytes(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => {
            let end = chars.find(|(_, c)| *c == '\'');
            end.map_or(text.len(), |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The code with items under `#[cfg(test)]` blanked out.
pub(super) fn production_only(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut production = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(ATTRIBUTE) {
        production.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = item_bytes(item);
        production.extend(
            item[..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = &item[end..];
    }
    production.push_str(rest);
    production
}

/// The length of an item with its attributes: up to its semicolon or closing brace.
fn item_bytes(item: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::{code_only, production_only};

    #[test]
    fn blanks_out_comments_and_literals() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x\\\"y\") + 1", "f(      ) + 1"),
            ("r#\"a\"b\"# + br\"c\" + b\"d\"", "         +       +     "),
            (
                "f('a', '\\'', b'x', &'b str)",
                "f(   ,     ,     , &'b str)",
            ),
            ("for number in car {}", "for number in car {}"),
            ("\"two\nlines\"x", "    \n      x"),
        ];
        for (text, code) in cases {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn blanks_out_code_for_tests() {
        let code = "a\n#[cfg(test)]\nmod tests {\n x {}\n}\nb\n#[cfg(test)]\nmod c;\nd";
        let production = production_only(code);
        let words: Vec<&str> = production.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "d"]);
        assert_eq!(production.lines().count(), code.lines().count());
    }
}
