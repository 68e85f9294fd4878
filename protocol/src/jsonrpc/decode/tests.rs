//! The texts that the decoder accepts, the ones it refuses with their codes, and the reuse of its
//! buffers.

use super::{Decoder, INPUT_BYTES_KEPT, OwnedDocument, TAPE_NODES_KEPT};
use crate::jsonrpc::{DecodeError, INVALID_REQUEST, Id, JsonLimits, Message, PARSE_ERROR};

fn limits() -> JsonLimits {
    JsonLimits::default()
}

fn check(text: &[u8], expected: Result<&str, DecodeError>) {
    let mut decoder = Decoder::new(limits());
    let written = decoder.decode(text).map(|decoded| {
        let mut out = Vec::new();
        decoded.root().write_json(&mut out);
        String::from_utf8(out).unwrap()
    });
    let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
    assert_eq!(
        written.as_deref().map_err(|error| *error),
        expected,
        "{shown}"
    );
    let owned = OwnedDocument::decode(text, limits()).map(|owned| {
        let mut out = Vec::new();
        owned.document().root().write_json(&mut out);
        String::from_utf8(out).unwrap()
    });
    assert_eq!(owned, written, "with memory of its own: {shown}");
}

#[test]
fn takes_every_kind_of_value() {
    let cases: &[(&str, &str)] = &[
        ("null", "null"),
        (" true\n", "true"),
        ("\"a\\u0041\\ud83d\\ude00\\/\"", "\"aA\u{1f600}/\""),
        ("[ ]", "[]"),
        ("{ }", "{}"),
        ("[1, [2, {\"a\" : []}], \"\"]", "[1,[2,{\"a\":[]}],\"\"]"),
        ("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"),
        ("-0.0", "-0.0"),
        ("1E2", "100.0"),
        ("0e99999999999999999999", "0.0"),
        ("1e-99999999999999999999", "0.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
    ];
    for (text, written) in cases {
        check(text.as_bytes(), Ok(written));
    }
}

#[test]
fn refuses_invalid_json() {
    for text in ["", " ", "\r\n\t "] {
        check(text.as_bytes(), Err(DecodeError::Empty));
    }
    let cases = [
        "{",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{'a':1}",
        "[1 2]",
        "[1]x",
        "{}{}",
        "01",
        "-01",
        "+1",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "truee",
        "nul",
        "True",
        "// a\n1",
        "/**/1",
        "\"\n\"",
        "\"\t\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\\\"a",
        "[1\u{0}]",
        "1\u{0}",
        "\u{feff}{}",
        "[1\u{a0}]",
        "1\u{c}",
        "]",
        "}",
        "[}",
        "{]",
        ":",
        ",",
        "\u{0}",
        "\"\u{1f}\"",
    ];
    for text in cases {
        check(text.as_bytes(), Err(DecodeError::Syntax));
    }
    let cases: [&[u8]; 6] = [
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"[\"\xe2\x82\"]",
        b"{\xff",
    ];
    for text in cases {
        check(text, Err(DecodeError::InvalidUtf8));
    }
    assert_eq!(DecodeError::Empty.code(), PARSE_ERROR);
    assert_eq!(DecodeError::Syntax.code(), PARSE_ERROR);
    assert_eq!(DecodeError::InvalidUtf8.code(), PARSE_ERROR);
}

#[test]
fn distinguishes_a_number_out_of_range_from_a_malformed_one() {
    let out_of_range = |offset| Err(DecodeError::NumberOutOfRange { offset });
    check(b"[1e400]", out_of_range(1));
    check(b"[1, -1.5E+9999 ]", out_of_range(4));
    check(b"1e309", out_of_range(0));
    check(b"{\"a\":1e400}", out_of_range(5));
    for text in [
        "[1e400x]",
        "[-]",
        "[01e400]",
        "[1.e400]",
        "[1e400.0]",
        "[-a]",
    ] {
        check(text.as_bytes(), Err(DecodeError::Syntax));
    }
    assert_eq!(
        DecodeError::NumberOutOfRange { offset: 0 }.code(),
        INVALID_REQUEST
    );
}

#[test]
fn refuses_every_truncation_of_a_message() {
    let text =
        br#"{"jsonrpc":"2.0","id":"a\u00e4\\","method":"m","params":{"a":[1,-2.5e3,true,null],
        "b":{"c":"\ud83d\ude00 and plain text that is longer than one vector of the parser"}}}"#;
    let mut decoder = Decoder::new(limits());
    for end in 0..text.len() {
        let error = decoder.decode(&text[..end]).err().unwrap();
        assert_eq!(error.code(), PARSE_ERROR, "{end} {error}");
    }
    assert!(decoder.decode(text).unwrap().message().is_ok());
}

#[test]
fn enforces_the_depth_limit_exactly() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let mut decoder = Decoder::new(limits());
    assert!(decoder.decode(&nested(128)).is_ok());
    let objects = [b"{\"a\":".repeat(128), b"1".to_vec(), b"}".repeat(128)].concat();
    assert!(decoder.decode(&objects).is_ok());
    let refused = DecodeError::TooDeep { depth_max: 128 };
    assert_eq!(decoder.decode(&nested(129)).err(), Some(refused));
    assert_eq!(decoder.decode(&b"[".repeat(60_000)).err(), Some(refused));
    assert_eq!(refused.code(), INVALID_REQUEST);
    assert_eq!(refused.to_string(), "nesting exceeds limit of 128 levels");
}

#[test]
fn enforces_the_node_limit_exactly_for_short_and_long_texts() {
    for nodes_max in [10, 100_000] {
        let mut decoder = Decoder::new(JsonLimits {
            nodes_max,
            ..limits()
        });
        let array = |nodes: usize| format!("[0{}]", ",0".repeat(nodes - 2));
        let decoded = decoder.decode(array(nodes_max).as_bytes()).unwrap();
        assert_eq!(decoded.root().as_array().unwrap().len(), nodes_max - 1);
        drop(decoded);
        let refused = DecodeError::TooManyNodes { nodes_max };
        assert_eq!(
            decoder.decode(array(nodes_max + 1).as_bytes()).err(),
            Some(refused)
        );
        assert_eq!(refused.code(), INVALID_REQUEST);
    }
}

#[test]
fn refuses_bombs_before_the_tape_is_built() {
    let bytes = 16 * 1024 * 1024;
    let bombs = [
        "[", "0,", "{\"\":", "[],", "\"\",", "0 ", ",", "]", "\\\"[", "[[\"\"],",
    ];
    let mut decoder = Decoder::new(limits());
    for bomb in bombs {
        let text = bomb.repeat(bytes / bomb.len());
        assert!(decoder.decode(text.as_bytes()).is_err(), "{bomb}");
        // The parser was never reached, so the buffer did not grow.
        assert!(decoder.input.capacity() <= INPUT_BYTES_KEPT, "{bomb}");
        assert_eq!(decoder.spare_tape.0.capacity(), 0, "{bomb}");
    }
}

#[test]
fn keeps_small_buffers_and_gives_back_large_ones() {
    let mut decoder = Decoder::new(limits());
    drop(decoder.decode(b"[1,2,3]").unwrap());
    let tape = decoder.spare_tape.0.as_ptr();
    let input = decoder.input.as_ptr();
    for text in ["[4,5]", "[", "{}", "[1,2,3]", "nul"] {
        let _ = decoder.decode(text.as_bytes());
        assert_eq!(decoder.spare_tape.0.as_ptr(), tape, "{text}");
        assert_eq!(decoder.input.as_ptr(), input, "{text}");
    }
    let long = format!("[0{}]", ",0".repeat(TAPE_NODES_KEPT));
    let decoded = decoder.decode(long.as_bytes()).unwrap();
    assert_eq!(
        decoded.root().as_array().unwrap().len(),
        TAPE_NODES_KEPT + 1
    );
    drop(decoded);
    assert_eq!(decoder.spare_tape.0.capacity(), 0);
    assert!(decoder.input.capacity() > long.len());
    decoder.trim();
    assert!(decoder.input.capacity() < INPUT_BYTES_KEPT);
    assert!(decoder.decode(long.as_bytes()).is_ok());
    assert!(decoder.decode(b"{}").is_ok());
    assert!(decoder.input.capacity() < INPUT_BYTES_KEPT);
}

#[test]
fn leaves_the_bytes_of_the_caller_alone() {
    let text = br#"{"jsonrpc":"2.0","method":"a\nb"}"#;
    let copy = text.to_vec();
    let mut decoder = Decoder::new(limits());
    assert!(decoder.decode(&copy).is_ok());
    assert_eq!(copy, text);
}

#[test]
#[should_panic(expected = "depth_max of 257 is not within 1 to 256")]
fn refuses_a_depth_limit_that_the_stack_may_not_bear() {
    Decoder::new(JsonLimits {
        depth_max: 257,
        ..limits()
    });
}

#[test]
fn an_owned_copy_is_counted_by_its_values_and_texts() {
    let value = size_of::<serde_json::Value>();
    let leaf = 11 * (size_of::<String>() + value);
    let mut decoder = Decoder::new(limits());
    for (text, bytes_min) in [
        ("7", value),
        ("\"abc\"", value + 3),
        ("[1,[],\"ab\"]", 4 * value + 2),
        ("{}", value),
        ("{\"name\":1}", 2 * value + 4 + leaf),
        ("[{\"a\":1},{\"b\":2}]", 5 * value + 2 + 2 * leaf),
        (
            "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1}",
            13 * value + 6 + 2 * leaf,
        ),
    ] {
        let decoded = decoder.decode(text.as_bytes()).unwrap();
        let bytes = decoded.root().owned_bytes();
        let bytes_max = bytes_min + 500;
        assert!((bytes_min..bytes_max).contains(&bytes), "{text}: {bytes}");
    }
}

#[test]
fn walks_the_deepest_value_on_a_small_stack() {
    #[derive(serde::Deserialize)]
    struct Nested {
        a: Option<Box<Nested>>,
    }
    let walk = || {
        let depth = 256;
        let text = [
            b"{\"a\":".repeat(depth),
            b"null".to_vec(),
            b"}".repeat(depth),
        ]
        .concat();
        let mut decoder = Decoder::new(JsonLimits {
            depth_max: depth,
            ..limits()
        });
        let decoded = decoder.decode(&text).unwrap();
        let mut out = Vec::new();
        decoded.root().write_json(&mut out);
        assert_eq!(out, text);
        assert_eq!(decoded.root().to_serde().to_string().len(), text.len());
        let read = <Nested as serde::Deserialize>::deserialize(decoded.root()).unwrap();
        let chain = std::iter::successors(Some(&read), |nested| nested.a.as_deref());
        assert_eq!(chain.count(), depth);
    };
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(walk).unwrap().join().unwrap();
}

#[test]
fn an_owned_document_goes_to_another_thread_without_its_text() {
    let text = r#"{"jsonrpc":"2.0","id":"a\n","method":"m","params":{"text":"\u00e9"}}"#.to_owned();
    let decode = move || OwnedDocument::decode(text.as_bytes(), limits()).unwrap();
    let owned = std::thread::spawn(decode).join().unwrap();
    let Message::Request { id, params, .. } = owned.document().message().unwrap() else {
        panic!("it is a request");
    };
    assert_eq!(id, Id::String("a\n"));
    let params = params.unwrap().as_object().unwrap();
    assert_eq!(params.get("text").unwrap().as_str(), Some("é"));
}
