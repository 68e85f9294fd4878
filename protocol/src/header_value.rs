//! Values that requests repeat in headers (MCP 2026-07-28 basic/transports, "Standard Request
//! Headers" and "Custom Headers").
//!
//! A value that is not plain visible text is sent as `=?base64?<Base64 of UTF-8>?=`. The markers
//! are case-sensitive and both are required; with only one of them the text is taken literally.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::framing::http1::sole_element;
use crate::jsonrpc::Value;

const PREFIX: &[u8] = b"=?base64?";
const SUFFIX: &[u8] = b"?=";

/// A marked value whose Base64 does not decode to UTF-8, or an unmarked one that is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("header value is neither visible ASCII nor, between =?base64? and ?=, UTF-8 in Base64")]
pub struct MalformedHeaderValue;

/// The header value that encodes `text`: the text itself if every reader gets it back unchanged.
///
/// ```
/// use corelane_protocol::header_value::encode;
/// assert_eq!(encode("get_weather"), "get_weather");
/// assert_eq!(encode(" \u{e9}"), "=?base64?IMOp?=");
/// ```
pub fn encode(text: &str) -> Cow<'_, str> {
    let value = text.as_bytes();
    let is_trimmed = value.trim_ascii().len() == value.len();
    if is_trimmed && is_plain(value) && !value.starts_with(PREFIX) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(value)))
}

/// The text that a header value encodes. Leading and trailing white space is already removed.
///
/// # Errors
/// [`MalformedHeaderValue`] for a marked value with bad padding, an invalid character or bytes that
/// are not UTF-8, and for an unmarked value with a byte that must be encoded.
pub fn decode(value: &[u8]) -> Result<Cow<'_, str>, MalformedHeaderValue> {
    let marked = value
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    let Some(encoded) = marked else {
        return match str::from_utf8(value) {
            Ok(text) if is_plain(value) => Ok(Cow::Borrowed(text)),
            _ => Err(MalformedHeaderValue),
        };
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| MalformedHeaderValue)?;
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| MalformedHeaderValue)
}

/// Whether a header value encodes `text`.
///
/// # Errors
/// As [`decode`].
pub fn stands_for(value: &[u8], text: &str) -> Result<bool, MalformedHeaderValue> {
    // The usual case: a plain, unmarked value is the text itself.
    if value == text.as_bytes() && !value.starts_with(PREFIX) && is_plain(value) {
        return Ok(true);
    }
    holds(value, |decoded| decoded == text)
}

/// Whether the text of a header value passes `fits`. A value may contain commas; only a value that
/// does not fit is read as a list of equal values, which count as one value.
///
/// # Errors
/// As [`decode`].
pub fn holds(value: &[u8], fits: impl Fn(&str) -> bool) -> Result<bool, MalformedHeaderValue> {
    let holds = decode(value).map(|text| fits(&text));
    match sole_element(value) {
        Some(one) if one.len() < value.len() && !matches!(holds, Ok(true)) => {
            decode(one).map(|text| fits(&text))
        }
        _ => holds,
    }
}

/// Whether all of a value is visible ASCII, spaces and tabs. Any other byte must be encoded: a
/// server that accepts it raw disagrees with each intermediary that reads it differently.
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// Whether header text `text` says the same as the argument `value`.
///
/// Strings compare exactly, booleans as `true` and `false`, integers as numbers (`42.0` is 42).
/// Other JSON types cannot be mirrored and equal no text.
pub fn equals(text: &str, value: Value<'_>) -> bool {
    if let Some(string) = value.as_str() {
        return text == string;
    }
    if let Some(boolean) = value.as_bool() {
        return text == if boolean { "true" } else { "false" };
    }
    match (
        integer_of(text),
        value.as_i64().or_else(|| integral(value.as_f64()?)),
    ) {
        (Some(header), Some(body)) => header == body,
        _ => false,
    }
}

fn integer_of(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| integral(text.parse().ok()?))
}

/// The integer that a float equals. Integers that a header can repeat are within plus or minus 2^53
/// - 1, where f64 is exact.
pub(crate) fn integral(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_marked_values_and_leaves_others_alone() {
        for (value, expected) in [
            ("Hello", Ok("Hello")),
            ("=?base64?SGVsbG8=?=", Ok("Hello")),
            ("=?base64?w6k=?=", Ok("\u{e9}")),
            ("=?base64??=", Ok("")),
            ("=?base64?SGVsbG8?=", Err(MalformedHeaderValue)),
            ("=?base64?SGVs!!!bG8=?=", Err(MalformedHeaderValue)),
            ("=?base64?/w==?=", Err(MalformedHeaderValue)),
            ("SGVsbG8=", Ok("SGVsbG8=")),
            ("=?base64?SGVsbG8=", Ok("=?base64?SGVsbG8=")),
            ("SGVsbG8=?=", Ok("SGVsbG8=?=")),
            ("=?BASE64?SGVsbG8=?=", Ok("=?BASE64?SGVsbG8=?=")),
        ] {
            let decoded = decode(value.as_bytes());
            assert_eq!(decoded.as_deref(), expected.as_deref(), "{value}");
        }
        for value in ["\u{e9}", "a\u{7f}", "a\u{0}b", "\u{2028}"] {
            assert_eq!(decode(value.as_bytes()), Err(MalformedHeaderValue));
        }
        assert_eq!(decode(b"\xff"), Err(MalformedHeaderValue));
        assert_eq!(decode(b"a b\tc").as_deref(), Ok("a b\tc"));
    }

    #[test]
    fn an_encoded_text_is_decoded_to_itself_and_is_plain() {
        for text in [
            "",
            "Hello",
            "a b\tc",
            " a",
            "a\t",
            "\u{e9}",
            "a\r\nb",
            "\0",
            "\u{7f}",
            "=?base64?",
            "=?base64?SGVsbG8=?=",
            "=?BASE64?x?=",
            "file:///a%20b?c=d",
        ] {
            let value = encode(text);
            assert!(is_plain(value.as_bytes()), "{text:?}");
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
            let is_literal = matches!(value, Cow::Borrowed(_));
            let stays = ["", "Hello", "a b\tc", "=?BASE64?x?=", "file:///a%20b?c=d"];
            assert_eq!(is_literal, stays.contains(&text), "{text:?}");
        }
    }

    #[test]
    fn equal_values_in_a_list_stand_for_one_and_a_comma_may_be_part_of_a_value() {
        for (value, text, expected) in [
            ("a, a", "a", Ok(true)),
            ("a,a,a", "a", Ok(true)),
            ("a, a", "a, a", Ok(true)),
            ("=?base64?w6k=?=, =?base64?w6k=?=", "\u{e9}", Ok(true)),
            ("a, b", "a", Ok(false)),
            ("a, b", "b", Ok(false)),
            ("a,", "a", Ok(false)),
            (
                "=?base64?w6k=?=, =?base64?SGVsbG8=?=",
                "\u{e9}",
                Err(MalformedHeaderValue),
            ),
        ] {
            assert_eq!(stands_for(value.as_bytes(), text), expected, "{value}");
        }
    }
}
