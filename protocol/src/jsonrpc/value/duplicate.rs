//! Members that an object has twice.
//!
//! RFC 8259 section 4 leaves it open which of them counts, so a proxy that checks a message and the
//! server that executes it may see two messages; I-JSON forbids them (RFC 7493 section 2.3). The
//! names are compared unescaped: `"id"` and `"\u0069d"` are one name.
//!
//! The simple version would put the names of each object into a set. Nearly all objects are small,
//! so a filter of 64 bits comes first, and only names that meet in it are compared. Of a large
//! object the hashes of the names are sorted: half a million inserts into a set, each of which
//! misses the cache, take three times as long as the rest of decoding. The hash is keyed, so that a
//! peer cannot make many names meet.
//!
//! Invariant: the work is linear in the bytes of the text, but for the sorting of hashes, and
//! nothing is allocated unless an object has more than [`FEW_MEMBERS`].

use super::{ObjectIter, span};
use simd_json::Node;
use std::hash::{BuildHasher, RandomState};

/// Up to this many members, a name that the filter knows is compared with all before it.
const FEW_MEMBERS: usize = 32;

/// The place on the tape of a name that occurs twice in its object, at any depth.
pub(in crate::jsonrpc) fn find(tape: &[Node<'_>]) -> Option<usize> {
    tape.iter().enumerate().find_map(|(at, node)| match *node {
        Node::Object { len, count } if len > 1 => {
            let nodes = &tape[at + 1..=at + count];
            let members = ObjectIter { left: len, nodes };
            let offset = match len > FEW_MEMBERS {
                true => in_large(&members)?,
                false => in_small(&members)?,
            };
            Some(at + 1 + offset)
        }
        _ => None,
    })
}

/// The place among the nodes of a few members of a name that occurred before.
fn in_small(members: &ObjectIter<'_>) -> Option<usize> {
    let (mut rest, mut filter) = (members.nodes, 0u64);
    while let [Node::String(name), value, ..] = rest {
        let bit = 1 << (fingerprint(name) % 64);
        if filter & bit != 0 {
            let offset = members.nodes.len() - rest.len();
            let nodes = &members.nodes[..offset];
            let mut before = ObjectIter { nodes, ..*members };
            if before.any(|(other, _)| other == *name) {
                return Some(offset);
            }
        }
        filter |= bit;
        rest = &rest[1 + span(value)..];
    }
    None
}

/// The same of many members.
#[cold]
fn in_large(members: &ObjectIter<'_>) -> Option<usize> {
    let nodes = members.nodes;
    let keyed = RandomState::new();
    let mut rest = nodes;
    let mut names = Vec::with_capacity(members.left);
    while let [Node::String(name), value, ..] = rest {
        let offset = (nodes.len() - rest.len()) as u64;
        // A tape has fewer than 2 to the power of 32 nodes: the text has fewer bytes.
        names.push(keyed.hash_one(name) << 32 | offset);
        rest = &rest[1 + span(value)..];
    }
    names.sort_unstable();
    let name_at = |entry: &u64| match &nodes[*entry as u32 as usize] {
        Node::String(name) => *name,
        _ => unreachable!("a member starts with its name"),
    };
    let mut alike = names.chunk_by(|one, other| one >> 32 == other >> 32);
    alike.find_map(|alike| {
        let is_known = |at: &usize| {
            let name = name_at(&alike[*at]);
            alike[..*at].iter().any(|other| name_at(other) == name)
        };
        let known = (1..alike.len()).find(is_known)?;
        Some(alike[known] as u32 as usize)
    })
}

/// A number that is equal for equal names and rarely equal for different ones.
fn fingerprint(name: &str) -> u32 {
    let last = name.as_bytes().last().copied().unwrap_or(0);
    u32::from(last) + name.len() as u32 * 11
}

#[cfg(test)]
mod tests {
    use crate::jsonrpc::{Decoder, JsonLimits};

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder
            .decode(text.as_bytes())
            .expect("the tables hold JSON");
        let shown = &text[..text.len().min(200)];
        assert_eq!(decoded.duplicate_member(), expected, "{shown}");
    }

    #[test]
    fn finds_a_name_that_one_object_has_twice_at_any_depth_and_in_any_spelling() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, Some("a")),
            (r#"{"a":1,"a":1}"#, Some("a")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"{"\ud83d\ude00":1,"\uD83D\uDE00":2}"#, Some("\u{1f600}")),
            (r#"{"a\/b":1,"a/b":2}"#, Some("a/b")),
            (r#"{"":1,"":2}"#, Some("")),
            (r#"{"a":{"b":{"c":[0,[{"d":1,"e":2,"d":3}]]}}}"#, Some("d")),
            (r#"[1,{"a":1},{"b":1,"c":{},"b":2}]"#, Some("b")),
            (r#"{"a":{"x":1,"x":2},"a":{}}"#, Some("a")),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn the_same_name_in_different_objects_is_no_duplicate() {
        for text in [
            "1",
            "{}",
            r#""a""#,
            r#"{"a":{"a":{"a":1}}}"#,
            r#"[{"a":1},{"a":2}]"#,
            r#"{"a":"a","b":"a"}"#,
            r#"{"a":["b","b"],"b":{"a":1}}"#,
            r#"{"a":1,"A":2,"\u00e1":3,"a ":4}"#,
            r#"{"e\u0301":1,"\u00e9":2}"#,
        ] {
            check(text, None);
        }
    }

    /// An object of the members `names`, with nested ones between them.
    fn object(names: &[String]) -> String {
        let members = names.iter().map(|name| format!(r#""{name}":{{"n":[1]}}"#));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn every_pair_of_places_is_compared_in_objects_of_every_size() {
        for size in 2..40 {
            // Names that all collide in the filter: the same ends and the same length.
            let names: Vec<String> = (0..size).map(|at| format!("x{at:03}x")).collect();
            check(&object(&names), None);
            for (first, second) in (0..size).flat_map(|a| (0..a).map(move |b| (b, a))) {
                let mut names = names.clone();
                names[second] = names[first].clone();
                check(&object(&names), Some(&names[first]));
            }
        }
    }
}
