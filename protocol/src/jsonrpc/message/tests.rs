//! The table of envelopes, good and bad.

use crate::jsonrpc::{Decoder, INVALID_REQUEST, Id, JsonLimits, Kind, Message, ShapeFault};

/// A message in one line: its kind, id, method, and the other members as JSON.
fn summary(message: &Message<'_>) -> String {
    let json = |value: &Option<crate::jsonrpc::Value<'_>>| {
        let mut out = Vec::new();
        if let Some(value) = value {
            value.write_json(&mut out);
        }
        String::from_utf8(out).unwrap()
    };
    match message {
        Message::Request { id, method, params } => {
            format!("request {id:?} {method} {}", json(params))
        }
        Message::Notification { method, params } => {
            format!("notification {method} {}", json(params))
        }
        Message::Response { id, result, error } => {
            format!("response {id:?} {} {}", json(result), json(error))
        }
    }
}

fn check(text: &str, expected: &str) {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes()).unwrap();
    assert!(!decoded.is_batch());
    assert_eq!(summary(&decoded.message().unwrap()), expected, "{text}");
    assert_eq!(decoded.batch().count(), 0);
}

fn check_refused(text: &str, id: Option<Id<'_>>, fault: ShapeFault) {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes()).unwrap();
    let error = decoded.message().unwrap_err();
    assert_eq!((error.id, error.fault), (id, fault), "{text}");
    assert_eq!(error.code(), INVALID_REQUEST);
}

#[test]
fn reads_every_form_of_message() {
    let cases = [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
            "request Integer(1) m ",
        ),
        (
            r#"{"jsonrpc":"2.0","id":-0,"method":"m"}"#,
            "request Integer(0) m ",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"1","method":"m"}"#,
            "request String(\"1\") m ",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"","method":"m"}"#,
            "request String(\"\") m ",
        ),
        (
            r#"{"params":{"a":[1]},"method":"m","id":18446744073709551615,"jsonrpc":"2.0"}"#,
            "request Unsigned(18446744073709551615) m {\"a\":[1]}",
        ),
        (
            r#"{"jsonrpc":"2.0","id":-9223372036854775808,"method":"m","params":{}}"#,
            "request Integer(-9223372036854775808) m {}",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a/b","x":null}"#,
            "notification a/b ",
        ),
        (
            r#"{"j\u0073onrpc":"2\u002e0","method":"\u006d"}"#,
            "notification m ",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{"id":1,"jsonrpc":"1"}}"#,
            "notification m {\"id\":1,\"jsonrpc\":\"1\"}",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            "response Some(Integer(1)) {} ",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            "response Some(Integer(1)) null ",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"x"}}"#,
            "response Some(String(\"a\"))  {\"code\":1,\"message\":\"x\"}",
        ),
        (
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}"#,
            "response None  {\"code\":-32700,\"message\":\"x\"}",
        ),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn never_takes_an_unusable_id_for_no_id() {
    let cases = [
        ("null", Kind::Null),
        ("true", Kind::Bool),
        ("1.5", Kind::Float),
        ("1.0", Kind::Float),
        ("1e0", Kind::Float),
        ("-0.0", Kind::Float),
        ("{}", Kind::Object),
        ("[1]", Kind::Array),
    ];
    for (id, kind) in cases {
        for rest in [r#""method":"m""#, r#""result":{}"#, r#""error":{}"#] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#);
            // In an error, null means that the peer could not read the id (JSON-RPC 2.0 section 5).
            match (kind, rest) {
                (Kind::Null, r#""error":{}"#) => check(&text, "response None  {}"),
                _ => check_refused(&text, None, ShapeFault::IdKind(kind)),
            }
        }
    }
}

#[test]
fn refuses_integer_ids_beyond_64_bits_for_their_size() {
    let beyond_all_bounds = "1".repeat(300);
    for id in [
        "18446744073709551616",
        "-9223372036854775809",
        "1e20",
        &beyond_all_bounds,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        check_refused(&text, None, ShapeFault::IdOutOfRange);
    }
    let text = ShapeFault::IdOutOfRange.to_string();
    assert!(text.starts_with("id is out of range: use an integer from -9223372036854775808"));
}

#[test]
fn refuses_malformed_envelopes_with_their_id() {
    use ShapeFault::{MethodEmpty, MethodKind, NoPurpose, ParamsKind, RequestAndResponse, Version};
    let cases = [
        (r#""method":"m""#, Version),
        (r#""jsonrpc":"2","method":"m""#, Version),
        (r#""jsonrpc":"2.00","method":"m""#, Version),
        (r#""jsonrpc":2.0,"method":"m""#, Version),
        (r#""jsonrpc":null,"method":"m""#, Version),
        (r#""jsonrpc":"2.0""#, NoPurpose),
        (r#""jsonrpc":"2.0","params":{}"#, NoPurpose),
        (r#""jsonrpc":"2.0","method":1"#, MethodKind(Kind::Integer)),
        (r#""jsonrpc":"2.0","method":null"#, MethodKind(Kind::Null)),
        (r#""jsonrpc":"2.0","method":["m"]"#, MethodKind(Kind::Array)),
        (r#""jsonrpc":"2.0","method":"""#, MethodEmpty),
        (
            r#""jsonrpc":"2.0","method":"m","params":[1]"#,
            ParamsKind(Kind::Array),
        ),
        (
            r#""jsonrpc":"2.0","method":"m","params":"a""#,
            ParamsKind(Kind::String),
        ),
        (
            r#""jsonrpc":"2.0","method":"m","params":1"#,
            ParamsKind(Kind::Integer),
        ),
        (
            r#""jsonrpc":"2.0","method":"m","params":false"#,
            ParamsKind(Kind::Bool),
        ),
        (
            r#""jsonrpc":"2.0","method":"m","result":{}"#,
            RequestAndResponse,
        ),
        (
            r#""jsonrpc":"2.0","method":"m","error":{}"#,
            RequestAndResponse,
        ),
    ];
    for (members, fault) in cases {
        check_refused(&format!("{{{members}}}"), None, fault);
        check_refused(
            &format!(r#"{{{members},"id":7}}"#),
            Some(Id::Integer(7)),
            fault,
        );
        check_refused(
            &format!(r#"{{"id":"7",{members}}}"#),
            Some(Id::String("7")),
            fault,
        );
    }
}

#[test]
fn refuses_malformed_responses_without_their_id() {
    let cases = [
        (
            r#""id":1,"result":{},"error":{}"#,
            ShapeFault::ResultAndError,
        ),
        (r#""result":{}"#, ShapeFault::ResultWithoutId),
        (r#""id":1,"error":null"#, ShapeFault::NoPurpose),
        (r#""id":1,"error":"x""#, ShapeFault::ErrorKind(Kind::String)),
    ];
    for (members, fault) in cases {
        check_refused(&format!(r#"{{"jsonrpc":"2.0",{members}}}"#), None, fault);
    }
    check_refused(r#"{"id":1,"result":{}}"#, None, ShapeFault::Version);
}

#[test]
fn names_the_request_that_a_malformed_response_was_to_answer() {
    for (members, answers) in [
        (r#""id":"a","error":5"#, Some("a")),
        (r#""id":"a","result":{},"error":{}"#, Some("a")),
        (r#""id":"a""#, Some("a")),
        (r#""id":"a","method":null,"error":5"#, Some("a")),
        (r#""id":"a","result":{},"result":{}"#, Some("a")),
        (r#""id":"a","id":"a","error":5"#, None),
        (r#""id":[],"error":5"#, None),
        (r#""id":"a","method":"m","params":5"#, None),
        (r#""id":"a","method":"m","error":{}"#, None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder.decode(text.as_bytes()).unwrap();
        let error = decoded.message().unwrap_err();
        assert_eq!(error.answers, answers.map(Id::String), "{text}");
    }
    // Its id is not given back: it is of the receiver's own request.
    let text = r#"{"jsonrpc":"2.0","id":"a","method":null,"error":5}"#;
    check_refused(text, None, ShapeFault::ErrorKind(Kind::Integer));
}

#[test]
fn refuses_members_of_the_envelope_that_occur_twice() {
    let members = [
        ("jsonrpc", r#""2.0""#),
        ("method", r#""m""#),
        ("params", "{}"),
    ];
    for (name, value) in members {
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{}},"id":1,"{name}":{value}}}"#);
        check_refused(
            &text,
            Some(Id::Integer(1)),
            ShapeFault::DuplicateMember(name),
        );
    }
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","\u0069d":1}"#;
    check_refused(text, None, ShapeFault::DuplicateMember("id"));
    let text = r#"{"jsonrpc":"2.0","method":"m","method":"n","id":1,"id":1}"#;
    check_refused(text, None, ShapeFault::DuplicateMember("method"));
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#;
    check_refused(text, None, ShapeFault::DuplicateMember("result"));
}

#[test]
fn null_in_a_member_that_may_be_left_out_is_absence() {
    for (members, expected) in [
        (
            r#""id":1,"method":"m","params":null"#,
            "request Integer(1) m ",
        ),
        (r#""method":"m","params":null"#, "notification m "),
        (
            r#""id":1,"method":"m","params":{},"result":null,"error":null"#,
            "request Integer(1) m {}",
        ),
        (
            r#""id":1,"method":null,"params":null,"result":{},"error":null"#,
            "response Some(Integer(1)) {} ",
        ),
        (
            r#""id":1,"method":null,"result":null,"error":{}"#,
            "response Some(Integer(1))  {}",
        ),
        (
            r#""id":1,"result":null,"error":null"#,
            "response Some(Integer(1)) null ",
        ),
    ] {
        check(&format!(r#"{{"jsonrpc":"2.0",{members}}}"#), expected);
    }
}

#[test]
fn refuses_members_that_occur_twice_wherever_a_message_is_read() {
    let call =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
    for (name, params) in [
        ("name", r#"{"name":"a","name":"b"}"#),
        ("name", r#"{"name":"a","n\u0061me":"b"}"#),
        ("uri", r#"{"uri":"a:b","\u0075ri":"a:c"}"#),
        ("arguments", r#"{"name":"a","arguments":{},"arguments":{}}"#),
        ("a", r#"{"name":"a","arguments":{"a":1,"\u0061":2}}"#),
        (
            "b",
            r#"{"name":"a","arguments":{"a":[{"c":{"b":1,"b":1}}]}}"#,
        ),
        ("_meta", r#"{"_meta":{},"_meta":{}}"#),
        (
            "io.modelcontextprotocol/protocolVersion",
            concat!(
                r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                r#""io.modelcontextprotocol\/protocolVersion":"2025-11-25"}}"#
            ),
        ),
    ] {
        check_refused(
            &call(params),
            Some(Id::Integer(1)),
            ShapeFault::DuplicateMember(name),
        );
    }
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","action":"decline"}}"#;
    check_refused(result, None, ShapeFault::DuplicateMember("action"));
    let text = ShapeFault::DuplicateMember(&"n".repeat(1000)).to_string();
    let expected = format!("member \"{}\" occurs twice in its object", "n".repeat(64));
    assert_eq!(text, expected);
}

#[test]
fn bounds_the_lengths_of_id_and_method() {
    let text = |id: usize, method: usize| {
        let (id, method) = ("i".repeat(id), "m".repeat(method));
        format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}"}}"#)
    };
    let id = "i".repeat(256);
    let method = "m".repeat(128);
    check(
        &text(256, 128),
        &format!("request String({id:?}) {method} "),
    );
    let fault = ShapeFault::IdTooLong {
        id_bytes: 257,
        id_bytes_max: 256,
    };
    check_refused(&text(257, 1), None, fault);
    assert_eq!(fault.to_string(), "id of 257 bytes exceeds limit of 256");
    let fault = ShapeFault::MethodTooLong {
        method_bytes: 129,
        method_bytes_max: 128,
    };
    check_refused(&text(1, 129), Some(Id::String("i")), fault);
}

#[test]
fn refuses_values_that_are_not_objects() {
    for (text, kind) in [
        ("1", Kind::Integer),
        ("\"a\"", Kind::String),
        ("null", Kind::Null),
    ] {
        check_refused(text, None, ShapeFault::NotAnObject(kind));
    }
    check_refused("[]", None, ShapeFault::Batch);
}

#[test]
fn reads_a_batch_one_by_one() {
    let text = br#"[{"jsonrpc":"2.0","id":1,"method":"a"},2,{"jsonrpc":"2.0","method":"b"},[]]"#;
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text).unwrap();
    assert!(decoded.is_batch());
    assert_eq!(decoded.message().unwrap_err().fault, ShapeFault::Batch);
    let batch = decoded.batch();
    assert_eq!(batch.len(), 4);
    let found: Vec<String> = batch
        .map(|message| match message {
            Ok(message) => summary(&message),
            Err(error) => error.to_string(),
        })
        .collect();
    let expected = [
        "request Integer(1) a ",
        "message must be an object, not an integer",
        "notification b ",
        "message is a batch",
    ];
    assert_eq!(found, expected);
    let empty = decoder_batch_len("[]");
    assert_eq!(empty, (true, 0));
}

#[test]
fn a_member_that_occurs_twice_in_one_message_is_a_fault_of_the_whole_batch() {
    let text = br#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b","method":"c"}]"#;
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text).unwrap();
    let faults: Vec<_> = decoded.batch().map(|it| it.unwrap_err().fault).collect();
    assert_eq!(faults, [ShapeFault::DuplicateMember("method"); 2]);
}

fn decoder_batch_len(text: &str) -> (bool, usize) {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes()).unwrap();
    (decoded.is_batch(), decoded.batch().len())
}
