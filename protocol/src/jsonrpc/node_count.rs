//! Counts the nodes of a long JSON text before the parser sees it.
//!
//! The parser sizes its tape by the number of structural characters, 24 bytes for each, before it
//! has checked a single one: 16 MiB of `[` would reserve 384 MiB. This pass counts first and stops
//! at the limit.
//!
//! The simple version would be a tokenizer. This one only needs two counts to be exact for valid
//! texts, because the parser refuses the invalid ones:
//!
//! - a node is a string, an opening bracket, or the start of any other run of characters (a
//!   number, `true`, ...), so the sum is the number of tape nodes;
//! - punctuation is `,` `:` `]` `}`; a valid text of N nodes has at most N - 1 of the first two and
//!   at most N of the others, so more than 2 N proves that the text is invalid.
//!
//! Invariant: for an accepted text the parser indexes at most three characters for each node of the
//! limit. For that, both must agree on the contents of strings: a backslash outside a string, which
//! the parser's string mask would take as an escape, is refused here at once. It lacks any other
//! check of the grammar.

use super::error::DecodeError;

/// Texts up to this length are not counted beforehand: the parser's tape for them is at most
/// 24 times as long, 1.5 MiB, and counting the finished tape is free.
const COUNTED_BYTES_MIN: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Other,
    Space,
    Punctuation,
    Open,
    Quote,
    Backslash,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    classes[b' ' as usize] = Class::Space;
    classes[b'\t' as usize] = Class::Space;
    classes[b'\n' as usize] = Class::Space;
    classes[b'\r' as usize] = Class::Space;
    classes[b',' as usize] = Class::Punctuation;
    classes[b':' as usize] = Class::Punctuation;
    classes[b']' as usize] = Class::Punctuation;
    classes[b'}' as usize] = Class::Punctuation;
    classes[b'[' as usize] = Class::Open;
    classes[b'{' as usize] = Class::Open;
    classes[b'"' as usize] = Class::Quote;
    classes[b'\\' as usize] = Class::Backslash;
    classes
};

/// Refuses a long text that has more than `nodes_max` nodes, or too much punctuation to be valid.
///
/// # Errors
/// [`DecodeError::TooManyNodes`], or [`DecodeError::Syntax`] if the text is certainly invalid.
pub(super) fn check(text: &[u8], nodes_max: usize) -> Result<(), DecodeError> {
    // Each node but the last needs a byte of its own and a byte of punctuation, so a short text
    // cannot exceed the limit.
    if text.len() < COUNTED_BYTES_MIN || text.len().div_ceil(2) <= nodes_max {
        return Ok(());
    }
    count(text, nodes_max)
}

fn count(text: &[u8], nodes_max: usize) -> Result<(), DecodeError> {
    let punctuation_max = nodes_max.saturating_mul(2);
    let (mut nodes, mut punctuation) = (0usize, 0usize);
    let mut in_run = false;
    let mut at = 0;
    while at < text.len() {
        let class = CLASSES[usize::from(text[at])];
        at += 1;
        match class {
            Class::Other => nodes += usize::from(!in_run),
            Class::Space => {}
            Class::Punctuation => punctuation += 1,
            Class::Open => nodes += 1,
            Class::Quote => {
                nodes += 1;
                at = after_string(text, at)?;
            }
            Class::Backslash => return Err(DecodeError::Syntax),
        }
        in_run = class == Class::Other;
        if nodes > nodes_max {
            return Err(DecodeError::TooManyNodes { nodes_max });
        }
        if punctuation > punctuation_max {
            return Err(DecodeError::Syntax);
        }
    }
    Ok(())
}

/// Finds the position after the string that starts at `at`.
fn after_string(text: &[u8], mut at: usize) -> Result<usize, DecodeError> {
    loop {
        let rest = text.get(at..).ok_or(DecodeError::Syntax)?;
        let found = memchr::memchr2(b'"', b'\\', rest).ok_or(DecodeError::Syntax)?;
        if rest[found] == b'"' {
            return Ok(at + found + 1);
        }
        at += found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNTED_BYTES_MIN, check, count};
    use crate::jsonrpc::DecodeError;

    #[test]
    fn counts_exactly_the_nodes_of_valid_texts() {
        let cases: &[(&str, usize)] = &[
            ("0", 1),
            ("\"a,b:[c]\"", 1),
            ("[]", 1),
            ("[[],[],[]]", 4),
            ("{}", 1),
            ("{\"a\":1}", 3),
            (" { \"a\" : [ 1 , true , null , -1e5 ] } ", 7),
            ("[\"\\\"\",\"\\\\\",\"\\\\\\\"[\"]", 4),
            ("[1 ]", 2),
        ];
        for (text, nodes) in cases {
            assert_eq!(count(text.as_bytes(), *nodes), Ok(()), "{text}");
            if *nodes > 1 {
                let nodes_max = nodes - 1;
                let refused = Err(DecodeError::TooManyNodes { nodes_max });
                assert_eq!(count(text.as_bytes(), nodes_max), refused, "{text}");
            }
        }
    }

    #[test]
    fn refuses_texts_that_the_parser_would_index_without_bound() {
        let cases = [",,,,,", "]]]]]", "::::::", "\\\"[[[\"", "\"open", "\"end\\"];
        for text in cases {
            assert_eq!(
                count(text.as_bytes(), 2),
                Err(DecodeError::Syntax),
                "{text}"
            );
        }
        for text in ["0 0 0", "[[[", "\"\"\"\"\"\"", "a,b,c"] {
            let refused = Err(DecodeError::TooManyNodes { nodes_max: 2 });
            assert_eq!(count(text.as_bytes(), 2), refused, "{text}");
        }
    }

    #[test]
    fn leaves_short_texts_to_the_parser() {
        assert_eq!(check(b"[[[[[[", 1), Ok(()));
        let long = vec![b'['; COUNTED_BYTES_MIN];
        assert_eq!(
            check(&long, 1),
            Err(DecodeError::TooManyNodes { nodes_max: 1 })
        );
        assert_eq!(check(&long, COUNTED_BYTES_MIN), Ok(()));
    }
}
