//! Ranges of members, compared with the tape on texts made at random.

use super::{MembersFault, MessageMembers, find_members, is_name};
use crate::jsonrpc::{Decoder, JsonLimits};
use serde_json::Value as Json;

/// The names that random objects have, and that are searched for.
const NAMES: [&str; 5] = ["id", "params", "_meta", "a\"b", "\u{e9}"];

/// A generator of numbers (xorshift64), so that a failure repeats.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn space(&mut self, out: &mut String) {
        for _ in 0..self.below(3) {
            out.push([' ', '\t', '\r', '\n'][self.below(4)]);
        }
    }

    fn name(&mut self, out: &mut String) {
        let name = NAMES[self.below(NAMES.len())];
        match self.below(3) {
            0 => name
                .encode_utf16()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            _ => out.push_str(serde_json::to_string(name).unwrap().trim_matches('"')),
        }
    }

    fn value(&mut self, depth: usize, out: &mut String) {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => out.push_str(["null", "true", "false", "0"][self.below(4)]),
            1 => out.push_str(["-1.5e3", "12345678901234567890", "7"][self.below(3)]),
            2 => out.push_str([r#""""#, r#""}\"{""#, r#""\\""#, r#"",:[""#][self.below(4)]),
            3 => out.push_str(["{}", "[]", "[ ]", "{ }"][self.below(4)]),
            4 => {
                out.push('[');
                for at in 0..=self.below(3) {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.space(out);
                    self.value(depth - 1, out);
                    self.space(out);
                }
                out.push(']');
            }
            _ => self.object(depth - 1, out),
        }
    }

    fn object(&mut self, depth: usize, out: &mut String) {
        out.push('{');
        self.space(out);
        for at in 0..self.below(4) {
            out.push_str(if at > 0 { "," } else { "" });
            self.space(out);
            out.push('"');
            self.name(out);
            out.push('"');
            self.space(out);
            out.push(':');
            self.space(out);
            self.value(depth, out);
            self.space(out);
        }
        out.push('}');
    }
}

/// Compares the ranges of a text with its tape; whether the text is an object at all.
fn agrees_with_the_tape(text: &[u8]) -> bool {
    let found = find_members(text, 0..text.len(), NAMES);
    let mut decoder = Decoder::new(JsonLimits::default());
    let Ok(decoded) = decoder.decode(text) else {
        return false;
    };
    let shown = String::from_utf8_lossy(text);
    let Some(object) = decoded.root().as_object() else {
        assert_eq!(found, Err(MembersFault::NotAnObject), "{shown}");
        return false;
    };
    for (at, name) in NAMES.iter().enumerate() {
        let times = object.iter().filter(|(known, _)| known == name).count();
        let Ok(found) = &found else {
            let names = |name: &&&str| object.iter().filter(|(it, _)| *it == **name).count() > 1;
            assert!(NAMES.iter().any(|name| names(&name)), "{shown}: {found:?}");
            continue;
        };
        assert!(times < 2, "{shown}");
        let value = found[at]
            .clone()
            .map(|range| serde_json::from_slice::<Json>(&text[range]));
        let value = value.map(|value| value.expect("a range of one value"));
        let whole: Json = serde_json::from_slice(text).expect("a text that was decoded");
        assert_eq!(value.as_ref(), whole.get(name), "{shown}");
    }
    true
}

#[test]
fn ranges_are_those_of_the_tape() {
    let mut rng = Rng(0x5eed_0001);
    let mut objects = 0;
    for _ in 0..3_000 {
        let mut text = String::new();
        rng.space(&mut text);
        rng.object(3, &mut text);
        rng.space(&mut text);
        objects += usize::from(agrees_with_the_tape(text.as_bytes()));
    }
    assert!(objects > 2_900, "{objects}");
}

#[test]
fn broken_texts_give_a_fault_or_ranges_and_never_a_panic() {
    let mut rng = Rng(0x5eed_0002);
    for _ in 0..3_000 {
        let mut text = String::new();
        rng.object(3, &mut text);
        let mut bytes = text.into_bytes();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            bytes[at] = b"{}[]\",:\\ 0x\xff"[rng.below(12)];
        }
        agrees_with_the_tape(&bytes);
        let cut = rng.below(bytes.len());
        let _ = MessageMembers::read(&bytes[..cut]);
    }
}

#[test]
fn a_string_ends_at_its_first_quote_that_no_backslash_escapes() {
    for bytes in 0..150 {
        for escape in 0..=bytes {
            let mut value = "\u{e9}".repeat(bytes);
            let middle = if bytes > 0 { 2 * escape } else { 0 };
            value.insert_str(middle, ["\\\"", "\\\\", ""][escape % 3]);
            let text = format!(r#"{{"a":"{value}","id":7}}"#);
            let members = MessageMembers::read(text.as_bytes()).expect("an object");
            assert_eq!(&text[members.id.expect("a member")], "7", "{text}");
        }
    }
}

#[test]
fn the_members_of_a_message_are_found_and_duplicates_are_refused() {
    let text = br#" {"jsonrpc":"2.0", "result" : {"a":{"_meta":0},"_meta":{"b":1}},"id":"x"} "#;
    let members = MessageMembers::read(text).unwrap();
    assert_eq!(&text[members.id.unwrap()], br#""x""#);
    let result = members.result.unwrap();
    assert_eq!(
        &text[result.clone()],
        br#"{"a":{"_meta":0},"_meta":{"b":1}}"#
    );
    let [meta] = find_members(text, result, ["_meta"]).unwrap();
    assert_eq!(&text[meta.unwrap()], br#"{"b":1}"#);
    assert_eq!(
        (members.method, members.params, members.error),
        (None, None, None)
    );
    for (text, fault) in [
        (&br#"{"id":1,"id":2}"#[..], MembersFault::Duplicate("id")),
        (br#"{"id":1,"\u0069d":2}"#, MembersFault::Duplicate("id")),
        (b"[]", MembersFault::NotAnObject),
        (b"", MembersFault::NotAnObject),
        (b"{} x", MembersFault::NotAnObject),
        (b"{\"id\":}", MembersFault::NotAnObject),
        (b"{\"id\":1,}", MembersFault::NotAnObject),
        (b"{\"id\":\"\\", MembersFault::NotAnObject),
    ] {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(MessageMembers::read(text), Err(fault), "{shown}");
    }
    // Members that nothing routes by may be there twice: the decoder refuses the message.
    assert!(MessageMembers::read(br#"{"x":1,"x":2}"#).is_ok());
}

#[test]
fn names_are_compared_after_unescaping() {
    for (raw, known, is_it) in [
        ("name", "name", true),
        ("", "", true),
        ("nam", "name", false),
        ("names", "name", false),
        ("nbme", "name", false),
        (r"n\u0061me", "name", true),
        (r"nam\u0065", "name", true),
        (r"name\u0073", "name", false),
        (r"\u006e\u0061me", "name", true),
        (r"n\u0062me", "name", false),
        (r"a\\b", r"a\b", true),
        (r"a\b", r"a\b", false),
        (r"n\", "name", false),
        ("\u{e9}", "\u{e9}", true),
        (r"\u00e9", "\u{e9}", true),
    ] {
        assert_eq!(is_name(raw.as_bytes(), known), is_it, "{raw} {known}");
    }
}
