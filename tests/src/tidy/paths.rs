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
    /// The use of the path in a `use` declaration.
    pub(super) import: Option<Import>,
}

/// The use of a path in a `use` declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The name that the file knows the path by; `*` for a glob.
    pub(super) name: String,
    /// Whether the declaration has a visibility: a re-export.
    pub(super) is_exported: bool,
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
    Other(char),
}

/// All paths of two parts or more in `code`, and all of `use` declarations.
///
/// The path of a visibility, as in `pub(in crate::a)`, is none of them.
pub(super) fn named_paths(code: &str) -> Vec<NamedPath> {
    let mut reader = Reader {
        tokens: tokens(code),
        at: 0,
        inline_depth: 0,
        paths: Vec::new(),
    };
    let mut scopes: Vec<bool> = Vec::new();
    while let Some(token) = reader.next(0) {
        match token {
            Token::Open => {
                let before = reader.at.checked_sub(2).map(|at| reader.tokens[at].1);
                scopes.push(before == Some(Token::Word("mod")));
                reader.at += 1;
            }
            Token::Close => {
                scopes.pop();
                reader.at += 1;
            }
            Token::Word("pub") => {
                reader.skip_visibility();
                if reader.next(0) == Some(Token::Word("use")) {
                    reader.at += 1;
                    reader.use_tree(&[], true);
                }
            }
            Token::Word("use") => {
                reader.at += 1;
                reader.use_tree(&[], false);
            }
            Token::Word(_) => reader.plain_path(),
            _ => reader.at += 1,
        }
        reader.inline_depth = scopes.iter().filter(|inline| **inline).count();
    }
    reader.paths
}

/// Reads the paths of a file off its tokens.
struct Reader<'a> {
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    inline_depth: usize,
    paths: Vec<NamedPath>,
}

impl<'a> Reader<'a> {
    /// The token that comes `further` tokens after the next one.
    fn next(&self, further: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + further).map(|(_, token)| *token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |(line, _)| *line)
    }

    /// Skips `pub` and its optional parentheses.
    fn skip_visibility(&mut self) {
        self.at += 1;
        if self.next(0) == Some(Token::Other('(')) {
            while !matches!(self.next(0), None | Some(Token::Other(')'))) {
                self.at += 1;
            }
            self.at += 1;
        }
    }

    /// Reads `a::b::c`.
    fn parts(&mut self) -> Vec<String> {
        let mut parts = Vec::new();
        while let Some(Token::Word(word)) = self.next(0) {
            parts.push(word.to_owned());
            self.at += 1;
            match (self.next(0), self.next(1)) {
                (Some(Token::Colons), Some(Token::Word(_))) => self.at += 1,
                _ => break,
            }
        }
        parts
    }

    fn plain_path(&mut self) {
        let line = self.line();
        let parts = self.parts();
        if parts.len() > 1 {
            self.push(line, parts, None);
        }
    }

    /// Reads one tree of a `use` declaration.
    fn use_tree(&mut self, prefix: &[String], is_exported: bool) {
        let line = self.line();
        if self.next(0) == Some(Token::Colons) {
            self.at += 1;
        }
        let mut parts = prefix.to_vec();
        parts.extend(self.parts());
        if self.next(0) == Some(Token::Colons) {
            self.at += 1;
        }
        let mut name = parts.iter().rfind(|part| *part != "self").cloned();
        match self.next(0) {
            Some(Token::Open) => {
                self.at += 1;
                while !matches!(self.next(0), None | Some(Token::Close)) {
                    self.use_tree(&parts, is_exported);
                    if self.next(0) == Some(Token::Comma) {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            }
            Some(Token::Star) => {
                parts.push("*".to_owned());
                name = Some("*".to_owned());
                self.at += 1;
            }
            Some(Token::Word("as")) => {
                if let Some(Token::Word(other)) = self.next(1) {
                    name = Some(other.to_owned());
                }
                self.at += 2;
            }
            // Anything else is no `use` declaration of ours; go on behind it.
            Some(Token::Other(_)) if parts.len() == prefix.len() => self.at += 1,
            _ => {}
        }
        let name = name.unwrap_or_default();
        self.push(line, parts, Some(Import { name, is_exported }));
    }

    fn push(&mut self, line: usize, parts: Vec<String>, import: Option<Import>) {
        self.paths.push(NamedPath {
            line,
            parts,
            inline_depth: self.inline_depth,
            import,
        });
    }
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
            other => Some(Token::Other(other)),
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
            ("pub(in crate::io) fn f(a: b::C) {}", &["b::C"]),
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
    fn knows_the_local_names_of_imports() {
        let code = "use a::B; pub(super) use c::{self, D as E}; pub use f::*; g::h();";
        let names: Vec<_> = named_paths(code)
            .into_iter()
            .map(|path| path.import.map(|import| (import.name, import.is_exported)))
            .collect();
        let import = |name: &str, is_exported| Some((name.to_owned(), is_exported));
        assert_eq!(
            names,
            [
                import("B", false),
                import("c", true),
                import("E", true),
                import("*", true),
                None
            ]
        );
    }

    #[test]
    fn compares_whole_parts() {
        let paths = named_paths("use std::network::x;");
        assert!(!paths[0].is_under("std::net"));
        assert!(paths[0].is_under("std::network"));
    }
}
