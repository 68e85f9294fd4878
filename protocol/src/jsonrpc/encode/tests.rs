//! Written messages are read back, by serde_json too.

use super::{
    begin_notification, begin_request, begin_result, end, write_error, write_error_with_data,
    write_float, write_id, write_string,
};
use crate::jsonrpc::{Decoder, Id, JsonLimits};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn check(write: impl FnOnce(&mut Vec<u8>), expected: &str) {
    assert_eq!(written(write), expected);
}

#[test]
fn escapes_exactly_as_serde_json_does_at_every_offset() {
    for special in (0u32..=0x120).chain([0x2028, 0xd7ff, 0xffff, 0x1f600, 0x10ffff]) {
        let special = char::from_u32(special).unwrap();
        for before in 0..18 {
            for after in [0, 1, 7, 8, 9] {
                let text = format!("{}{special}{}", "a".repeat(before), "\u{ff}".repeat(after));
                let expected = serde_json::to_string(&text).unwrap();
                check(|out| write_string(out, &text), &expected);
            }
        }
    }
    let all: String = (0u8..=0x7f).map(char::from).collect();
    for start in 0..all.len() {
        let text = &all[start..];
        let expected = serde_json::to_string(text).unwrap();
        check(|out| write_string(out, text), &expected);
    }
}

#[test]
fn writes_floats_that_read_back_equal() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (f64::INFINITY, "null"),
        (f64::NAN, "null"),
    ];
    for (number, expected) in cases {
        check(|out| write_float(out, number), expected);
    }
    for number in [
        1e300,
        -1.5e-300,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1e21,
        123456.789,
    ] {
        let text = written(|out| write_float(out, number));
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        assert_eq!(text, serde_json::to_string(&number).unwrap());
    }
}

#[test]
fn writes_ids_with_their_type() {
    let cases = [
        (Id::Integer(i64::MIN), "-9223372036854775808"),
        (Id::Unsigned(u64::MAX), "18446744073709551615"),
        (Id::String("1"), "\"1\""),
        (Id::String("\"\n"), "\"\\\"\\n\""),
    ];
    for (id, expected) in cases {
        check(|out| write_id(out, id), expected);
    }
}

#[test]
fn writes_whole_messages() {
    check(
        |out| {
            begin_result(out, Id::Integer(1));
            out.extend_from_slice(b"{}");
            end(out);
        },
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    check(
        |out| {
            begin_request(out, Id::String("a"), "roots/list");
            out.extend_from_slice(b"{}");
            end(out);
        },
        r#"{"jsonrpc":"2.0","id":"a","method":"roots/list","params":{}}"#,
    );
    check(
        |out| {
            begin_notification(out, "notifications/message");
            out.extend_from_slice(b"{}");
            end(out);
        },
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#,
    );
    check(
        |out| write_error(out, None, -32700, "message is \"bad\""),
        r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"message is \"bad\""}}"#,
    );
    check(
        |out| {
            write_error_with_data(out, Some(Id::Integer(2)), -32002, "x", |out| {
                out.extend_from_slice(br#"{"uri":"a"}"#);
            });
        },
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32002,"message":"x","data":{"uri":"a"}}}"#,
    );
}

#[test]
fn round_trips_a_corpus_against_serde_json() {
    let corpus = [
        r#"{"a":[1,-1,0,18446744073709551615,-9223372036854775808,1e300,-0.0,0.1,5e-324]}"#,
        r#"["","\"\\\/\b\f\n\r\t\u0000\u001f\u007f","\u00e4\u20ac\ud83d\ude00","ä€😀"]"#,
        r#"{"":{"":{"":[[[]],{},[{}]]}},"x y":null,"t":true,"f":false}"#,
        r#""a string that is long enough to take several words \u0001 with one escape inside it""#,
        "[1.7976931348623157e308,2.2250738585072014e-308,123456789.125,9007199254740993]",
        r#"{"b":1,"a":2,"c":{"$serde_json::private::RawValue":"[1]"}}"#,
        r#"{"a":1,"b":2,"a":3}"#,
        "null",
    ];
    let mut decoder = Decoder::new(JsonLimits::default());
    for text in corpus {
        let decoded = decoder.decode(text.as_bytes()).unwrap();
        let ours = decoded.root().to_serde();
        let compact = written(|out| decoded.root().write_json(out));
        drop(decoded);
        if !text.contains("private::RawValue") {
            assert_eq!(
                ours,
                serde_json::from_str::<serde_json::Value>(text).unwrap()
            );
            assert_eq!(
                ours,
                serde_json::from_str::<serde_json::Value>(&compact).unwrap()
            );
        }
        let again = decoder.decode(compact.as_bytes()).unwrap();
        assert_eq!(written(|out| again.root().write_json(out)), compact);
        if !text.contains("\"a\":3") {
            assert_eq!(serde_json::to_string(&ours).unwrap(), compact);
        }
    }
}
