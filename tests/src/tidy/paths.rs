//! The paths that a file names, with `use` groups taken apart.
//!
//! It lacks name resolution: `use std::time;` and then `time::Instant` gives two paths.

/// A path as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    /// The line it starts on, from 1.
    pub(super) line: usize,
    /// Its parts; `*` for a glob.
    pub(super) parts: Vec<String>,
    /// How many inline modules it stands in.
    pub(super) inline_depth: usize,
}

impl NamedPath {
    /// Whether the path starts with the parts of `prefix`, which has colons between them.
    pub(super) fn is_under(&self, prefix: &str) -> bool {
        let mut parts = self.parts.iter();
        prefix
            .split("::")
            .all(|part| parts.next().is_some_and(|own| own == part))
    }

    /// The path with colons between its parts.
    pub(super) fn text(&self) -> String {
        self.parts.join("::")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Colons,
    Open,
    Close,
    Comma,
    Star,
    Other,
}

/// All paths of two parts or more in `code`, and all of `use` declarations.
pub(super) fn named_paths(code: &str) -> Vec<NamedPath> {
    let tokens = tokens(code);
    let mut paths = Vec::new();
    let mut scopes: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = tokens[at];
        let inline_depth = scopes.iter().filter(|inline| **inline).count();
        match token {
            Token::Open => {
                let module = at >= 2 && tokens[at - 2].1 == Token::Word("mod");
                scopes.push(module);
                at += 1;
            }
            Token::Close => {
                scopes.pop();
                at += 1;
            }
            Token::Word("use") => at = use_tree(&tokens, at + 1, &[], inline_depth, &mut paths),
            Token::Word(_) => {
                let (parts, next) = simple_path(&tokens, at);
                if parts.len() > 1 {
                    paths.push(NamedPath {
                        line,
                        parts,
                        inline_depth,
                    });
                }
                at = next;
            }
            _ => at += 1,
        }
    }
    paths
}

/// Reads `a::b::c` and gives its parts and what comes after it.
fn simple_path(tokens: &[(usize, Token<'_>)], mut at: usize) -> (Vec<String>, usize) {
    let mut parts = Vec::new();
    while let Some((_, Token::Word(word))) = tokens.get(at) {
        parts.push((*word).to_owned());
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some((_, Token::Colons)), Some((_, Token::Word(_)))) => at += 1,
            _ => break,
        }
    }
    (parts, at)
}

/// Reads one tree of a `use` declaration; the answer is the position after it.
fn use_tree(
    tokens: &[(usize, Token<'_>)],
    mut at: usize,
    prefix: &[String],
    inline_depth: usize,
    paths: &mut Vec<NamedPath>,
) -> usize {
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    if tokens.get(at).map(|(_, token)| *token) == Some(Token::Colons) {
        at += 1;
    }
    let mut parts = prefix.to_vec();
    let (own, next) = simple_path(tokens, at);
    at = next;
    parts.extend(own);
    if tokens.get(at).map(|(_, token)| *token) == Some(Token::Colons) {
        at += 1;
    }
    match tokens.get(at).map(|(_, token)| *token) {
        Some(Token::Open) => {
            at += 1;
            while !matches!(
                tokens.get(at).map(|(_, token)| *token),
                None | Some(Token::Close)
            ) {
                at = use_tree(tokens, at, &parts, inline_depth, paths);
                if tokens.get(at).map(|(_, token)| *token) == Some(Token::Comma) {
                    at += 1;
                }
            }
            return at + 1;
        }
        Some(Token::Star) => {
            parts.push("*".to_owned());
            at += 1;
        }
        // `as name`
        Some(Token::Word("as")) => at += 2,
        // Anything else is no `use` declaration of ours; go on behind it.
        Some(Token::Other) if parts.len() == prefix.len() => at += 1,
        _ => {}
    }
    paths.push(NamedPath {
        line,
        parts,
        inline_depth,
    });
    at
}

fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        let token = match first {
            '\n' => {
                line += 1;
                None
            }
            c if c.is_whitespace() => None,
            c if c.is_alphanumeric() || c == '_' => {
                let of_word = |c: char| c.is_alphanumeric() || c == '_';
                taken = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
                // `a as b` reads as one word after another, so `as` ends a path by itself.
                Some(Token::Word(&rest[..taken]))
            }
            ':' if rest.starts_with("::") => {
                taken = 2;
                Some(Token::Colons)
            }
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ',' => Some(Token::Comma),
            '*' => Some(Token::Star),
            _ => Some(Token::Other),
        };
        tokens.extend(token.map(|token| (line, token)));
        rest = &rest[taken..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::named_paths;

    #[test]
    fn takes_paths_apart() {
        let cases: &[(&str, &[&str])] = &[
            ("use crate::io;", &["crate::io"]),
            (
                "use crate::{a::B, c::{D, self}};",
                &["crate::a::B", "crate::c::D", "crate::c::self"],
            ),
            ("pub(crate) use a::{B as C, d::*};", &["a::B", "a::d::*"]),
            ("use a::{\n  B,\n};", &["a::B"]),
            (
                "let x = crate::io::Ring::<u8>::new();",
                &["crate::io::Ring"],
            ),
            ("f(a, b); a: b", &[]),
            ("use ::std::net::TcpStream;", &["std::net::TcpStream"]),
        ];
        for (code, expected) in cases {
            let found: Vec<String> = named_paths(code).iter().map(|path| path.text()).collect();
            assert_eq!(&found, expected, "{code}");
        }
    }

    #[test]
    fn counts_lines_and_inline_modules() {
        let paths = named_paths("use a::b;\nmod tests {\n  use c::d;\n}\nfn f() { e::f() }");
        let seen: Vec<_> = paths
            .iter()
            .map(|path| (path.line, path.inline_depth))
            .collect();
        assert_eq!(seen, [(1, 0), (3, 1), (5, 0)]);
    }

    #[test]
    fn compares_whole_parts() {
        let paths = named_paths("use std::network::x;");
        assert!(!paths[0].is_under("std::net"));
        assert!(paths[0].is_under("std::network"));
    }
}
