//! The URIs of results, with the name of their upstream in them.
//!
//! Those of contents, of links to resources, of embedded resources and of the user interface of a
//! tool are changed. All other members stay as they came, texts too.

use std::borrow::Cow;

use corelane_protocol::jsonrpc::encode::{ObjectWriter, write_string};
use corelane_protocol::jsonrpc::{is_name, visit_members};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::uris::namespaced;

/// The kind of a block of content.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// Writes the value of a member with the name of an upstream in it. Returns whether it can.
type WriteValue = fn(&mut Vec<u8>, &[u8], &str) -> bool;

/// The result `json` of an upstream with its name in the URIs; none if it is no object.
pub(super) fn namespaced_result(json: &[u8], upstream: &str) -> Option<Vec<u8>> {
    with_members(
        json,
        upstream,
        &[
            ("contents", |out, value, upstream| {
                write_list(out, value, upstream, write_resource)
            }),
            ("content", |out, value, upstream| {
                write_list(out, value, upstream, write_block)
            }),
            ("messages", |out, value, upstream| {
                write_list(out, value, upstream, write_message)
            }),
            ("_meta", write_meta),
            // That of a task, in its state.
            ("result", write_result),
        ],
    )
}

/// A member `_meta` with the name of an upstream in the URI of the user interface; none if it is no
/// object.
pub(crate) fn namespaced_meta(json: &[u8], upstream: &str) -> Option<Vec<u8>> {
    with_members(
        json,
        upstream,
        &[("ui", |out, value, upstream| {
            write_object(out, value, upstream, &[("resourceUri", write_uri)])
        })],
    )
}

/// The object `json`, with some of its members written anew where that is possible.
fn with_members(json: &[u8], upstream: &str, changed: &[(&str, WriteValue)]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len() + upstream.len());
    let mut object = ObjectWriter::begin(&mut out);
    let visited = visit_members(json, 0..json.len(), |name, value| {
        let value = &json[value];
        let mut changed = changed.iter();
        let change = changed.find(|(member, _)| is_name(name, member));
        let mut written = Vec::new();
        match change {
            Some((_, write)) if write(&mut written, value, upstream) => {
                object.copy(name, &written);
            }
            _ => object.copy(name, value),
        }
    });
    object.end();
    visited.is_ok().then_some(out)
}

fn write_object(
    out: &mut Vec<u8>,
    value: &[u8],
    upstream: &str,
    changed: &[(&str, WriteValue)],
) -> bool {
    let written = value
        .starts_with(b"{")
        .then(|| with_members(value, upstream, changed));
    written.flatten().is_some_and(|written| {
        out.extend_from_slice(&written);
        true
    })
}

fn write_list(out: &mut Vec<u8>, value: &[u8], upstream: &str, write: WriteValue) -> bool {
    let Ok(parts) = serde_json::from_slice::<Vec<&RawValue>>(value) else {
        return false;
    };
    out.push(b'[');
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let part = part.get().as_bytes();
        if !write(out, part, upstream) {
            out.extend_from_slice(part);
        }
    }
    out.push(b']');
    true
}

fn write_result(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    let written = value
        .starts_with(b"{")
        .then(|| namespaced_result(value, upstream));
    written.flatten().is_some_and(|written| {
        out.extend_from_slice(&written);
        true
    })
}

fn write_message(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    write_object(out, value, upstream, &[("content", write_block)])
}

fn write_block(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    let block = serde_json::from_slice::<Block<'_>>(value);
    match block.as_ref().map(|block| &*block.kind) {
        Ok("resource_link") => write_resource(out, value, upstream),
        Ok("resource") => write_object(out, value, upstream, &[("resource", write_resource)]),
        _ => false,
    }
}

fn write_resource(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    write_object(out, value, upstream, &[("uri", write_uri)])
}

fn write_meta(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    let written = value
        .starts_with(b"{")
        .then(|| namespaced_meta(value, upstream));
    written.flatten().is_some_and(|written| {
        out.extend_from_slice(&written);
        true
    })
}

fn write_uri(out: &mut Vec<u8>, value: &[u8], upstream: &str) -> bool {
    let uri = serde_json::from_slice::<String>(value);
    let named = uri.ok().and_then(|uri| namespaced(&uri, upstream));
    named.is_some_and(|named| {
        write_string(out, &named);
        true
    })
}

#[cfg(test)]
mod tests {
    use super::namespaced_result;

    #[test]
    fn the_uris_of_a_result_have_the_name_and_all_else_stays_to_the_digit() {
        const TEXT: &str = r#"{"type":"text","text":"see a://b","uri":"a://b"}"#;
        let content = |link: &str, embedded: &str| {
            format!(r#"{{"content":[{TEXT},{{"uri":"{link}","type":"resource_link","name":"n"}},"#)
                + &format!(r#"{{"type":"resource","resource":{{"uri":"{embedded}","x":1.0}}}}],"#)
                + r#""structuredContent":{"uri":"a://b"},"isError":false}"#
        };
        let prompt = |uri: &str| {
            let link = format!(r#"{{"type":"resource_link","uri":"{uri}"}}"#);
            format!(r#"{{"messages":[{{"role":"user","content":{link}}},{{}}]}}"#)
        };
        let relative = r#"{"contents":{},"content":[{"type":"resource_link","uri":"b"}]}"#;
        for (json, expected) in [
            (
                r#"{"contents":[{"uri":"a:\/\/b","text":"a://b","n":1e400},7]}"#.to_owned(),
                r#"{"contents":[{"uri":"a://up/b","text":"a://b","n":1e400},7]}"#.to_owned(),
            ),
            (content("a://b", "a:b"), content("a://up/b", "a:up/b")),
            (prompt("a://b"), prompt("a://up/b")),
            (
                r#"{"_meta":{"ui":{"resourceUri":"ui://x"},"n":1.0},"content":[]}"#.to_owned(),
                r#"{"_meta":{"ui":{"resourceUri":"ui://up/x"},"n":1.0},"content":[]}"#.to_owned(),
            ),
            (relative.to_owned(), relative.to_owned()),
        ] {
            let found = namespaced_result(json.as_bytes(), "up").expect("an object");
            assert_eq!(String::from_utf8(found), Ok(expected));
        }
        assert_eq!(namespaced_result(b"[]", "up"), None);
    }
}
