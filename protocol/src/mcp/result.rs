//! The members that end a result, in each era.
//!
//! A modern result has its type, the server's name and caching hints; a legacy result has none of
//! them (`{}` stays exactly `{}`). Handlers never write these members: the encoder opens a result
//! with [`encode::begin_result`], writes its own members, and closes it with
//! [`ResultTrailer::finish`].

use super::era::Era;
use super::meta;
use crate::jsonrpc::{Id, encode};

/// Whether a complete result carries caching hints (MCP 2026-07-28 server/utilities/caching).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// The result has no caching members.
    NotCacheable,
    /// `ttlMs` 0 and `cacheScope` "private": the client requests the result again each time.
    Revalidate,
}

/// The members every modern result of one server ends with, encoded once.
#[derive(Debug, Clone)]
pub struct ResultTrailer {
    modern: Vec<u8>,
    modern_revalidate: Vec<u8>,
    input_required: Vec<u8>,
    task: Vec<u8>,
}

impl ResultTrailer {
    /// The trailer of the server that the JSON object `server_info` describes.
    pub fn new(server_info: &[u8]) -> ResultTrailer {
        let tail = |kind: &str, caching: &[u8]| {
            let mut out = format!(r#""resultType":"{kind}","#).into_bytes();
            out.extend_from_slice(caching);
            out.extend_from_slice(br#""_meta":{""#);
            out.extend_from_slice(meta::SERVER_INFO.as_bytes());
            out.extend_from_slice(br#"":"#);
            out.extend_from_slice(server_info);
            out.extend_from_slice(b"}}}");
            out
        };
        ResultTrailer {
            modern: tail("complete", b""),
            modern_revalidate: tail("complete", br#""ttlMs":0,"cacheScope":"private","#),
            input_required: tail("input_required", b""),
            task: tail("task", b""),
        }
    }

    /// Closes the result object and the message around it.
    ///
    /// `out` ends inside the result object: after its brace or after a whole member.
    pub fn finish(&self, out: &mut Vec<u8>, era: Era, caching: Caching) {
        match era {
            Era::Legacy => out.extend_from_slice(b"}}"),
            Era::Modern => {
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                out.extend_from_slice(match caching {
                    Caching::NotCacheable => &self.modern,
                    Caching::Revalidate => &self.modern_revalidate,
                });
            }
        }
    }

    /// Closes a result that has more `_meta`: whole members that `meta` appends. `out` ends as for
    /// [`ResultTrailer::finish`].
    pub fn finish_with_meta(
        &self,
        out: &mut Vec<u8>,
        (era, caching): (Era, Caching),
        meta: impl FnOnce(&mut Vec<u8>),
    ) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        if era == Era::Modern {
            let trailer = match caching {
                Caching::NotCacheable => &self.modern,
                Caching::Revalidate => &self.modern_revalidate,
            };
            // Behind the server's name, before the three closing braces.
            let (members, end) = trailer.split_at(trailer.len() - 3);
            out.extend_from_slice(members);
            out.push(b',');
            meta(out);
            out.extend_from_slice(end);
        } else {
            out.extend_from_slice(br#""_meta":{"#);
            meta(out);
            out.extend_from_slice(b"}}}");
        }
    }

    /// Closes a modern result that requests input, behind a whole member, and the message around
    /// it.
    pub fn finish_input_required(&self, out: &mut Vec<u8>) {
        out.push(b',');
        out.extend_from_slice(&self.input_required);
    }

    /// Closes a modern result that is a task, behind a whole member, and the message around it.
    pub fn finish_task(&self, out: &mut Vec<u8>) {
        out.push(b',');
        out.extend_from_slice(&self.task);
    }

    /// Writes the whole message of a result without members of its own.
    pub fn write_empty(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>) {
        encode::begin_result(out, id);
        out.push(b'{');
        self.finish(out, era, Caching::NotCacheable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_modern_results_and_leaves_legacy_ones_alone() {
        let trailer = ResultTrailer::new(br#"{"name":"n","version":"1"}"#);
        let check = |era, members: &str, caching, expected: &str| {
            let mut out = Vec::new();
            encode::begin_result(&mut out, Id::Integer(7));
            out.push(b'{');
            out.extend_from_slice(members.as_bytes());
            trailer.finish(&mut out, era, caching);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(
            Era::Legacy,
            "",
            Caching::Revalidate,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        );
        check(
            Era::Modern,
            "",
            Caching::NotCacheable,
            concat!(
                r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","#,
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","#,
                r#""version":"1"}}}}"#
            ),
        );
        check(
            Era::Modern,
            r#""tools":[]"#,
            Caching::Revalidate,
            concat!(
                r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],"resultType":"complete","#,
                r#""ttlMs":0,"cacheScope":"private","#,
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","#,
                r#""version":"1"}}}}"#
            ),
        );
    }
}
