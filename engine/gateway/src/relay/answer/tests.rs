//! Answers, notifications and faults of upstreams.

use super::super::{Downward, RelayedPart};
use super::{AnswerFault, Incoming, read_message, write_notification};
use corelane_protocol::jsonrpc::{Id, MembersFault};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::subscription::ListKind;

fn part(text: &str, era: Era) -> RelayedPart {
    part_between(text, Era::Modern, era)
}

fn part_between(text: &str, from: Era, to: Era) -> RelayedPart {
    let message = read_message(text.as_bytes(), 7).expect(text);
    let way = Downward {
        from,
        to,
        server_info: r#"{"name":"gate"}"#,
        is_cacheable: true,
    };
    RelayedPart::of(text.as_bytes(), &message, Some(&way)).expect("an answer")
}

/// The result or error that a client gets.
fn relayed(text: &str, era: Era) -> String {
    let (RelayedPart::Result { json, .. } | RelayedPart::Error(json)) = part(text, era);
    String::from_utf8(json).expect("text")
}

#[test]
fn a_result_goes_through_to_the_digit_on_one_line() {
    let raw = r#"{"z":1234567890123456789012345678901234567890,"a":1e400,"s":"\u00e4\n😀"}"#;
    let text = format!(r#"{{"id":7,"jsonrpc":"2.0","result":{raw},"x":1}}"#);
    assert_eq!(relayed(&text, Era::Modern), raw);
    let lines = "{\"id\":7,\"result\":{\r\n\"a\" :\n[ 1,\r2 ]}}";
    assert_eq!(relayed(lines, Era::Modern), "{  \"a\" : [ 1, 2 ]}");
}

#[test]
fn a_legacy_client_gets_no_member_of_the_modern_era() {
    let text =
        r#"{"id":7,"result":{"resultType":"complete","content":[ ],"ttlMs":1,"m":{"ttlMs":2}}}"#;
    let expected = r#"{"content":[ ],"m":{"ttlMs":2}}"#;
    assert_eq!(relayed(text, Era::Legacy), expected);
    let only = r#"{"id":7,"result":{"resultType":"complete"}}"#;
    assert_eq!(relayed(only, Era::Legacy), "{}");
    let is_error = r#"{"id":7,"result":{"isError":true,"content":[]}}"#;
    let RelayedPart::Result { is_error, .. } = part(is_error, Era::Modern) else {
        panic!("a result");
    };
    assert!(is_error);
}

#[test]
fn a_result_is_for_its_client_alone() {
    let text = |scope: &str| {
        format!(r#"{{"id":7,"result":{{"cacheScope":{scope},"ttlMs":5.0,"m":[ ]}}}}"#)
    };
    for scope in [r#""public""#, "1", r#""pr\u0069vate""#] {
        let expected = r#"{"cacheScope":"private","ttlMs":5.0,"m":[ ]}"#;
        assert_eq!(relayed(&text(scope), Era::Modern), expected);
        assert_eq!(relayed(&text(scope), Era::Legacy), r#"{"m":[ ]}"#);
    }
    let private = text(r#""private""#);
    let expected = r#"{"cacheScope":"private","ttlMs":5.0,"m":[ ]}"#;
    assert_eq!(relayed(&private, Era::Modern), expected);
    let public = text(r#""public""#);
    let message = read_message(public.as_bytes(), 7).expect("a result");
    let own = RelayedPart::of(public.as_bytes(), &message, None);
    let Some(RelayedPart::Result { json, .. }) = own else {
        panic!("a result");
    };
    assert!(json.starts_with(br#"{"cacheScope":"public""#));
}

#[test]
fn a_result_of_a_legacy_upstream_gets_the_members_of_the_modern_era() {
    let text = r#"{"id":7,"result":{"contents":[ 1.0 ],"_meta":{"a":1}}}"#;
    for (to, expected) in [
        (
            Era::Modern,
            r#"{"contents":[ 1.0 ],"_meta":{"a":1},"resultType":"complete","ttlMs":0,"cacheScope":"#
                .to_owned() + r#""private"}"#,
        ),
        (
            Era::Legacy,
            r#"{"contents":[ 1.0 ],"_meta":{"a":1}}"#.to_owned(),
        ),
    ] {
        let RelayedPart::Result { json, .. } = part_between(text, Era::Legacy, to) else {
            panic!("a result");
        };
        assert_eq!(String::from_utf8(json).expect("text"), expected);
    }
    let missing = r#"{"id":7,"error":{"code":-32002,"message":"m","data":{"uri":"a:b"}}}"#;
    for (to, code) in [(Era::Modern, -32602), (Era::Legacy, -32002)] {
        let expected = format!(r#"{{"code":{code},"message":"m","data":{{"uri":"a:b"}}}}"#);
        let error = RelayedPart::Error(expected.into_bytes());
        assert_eq!(part_between(missing, Era::Legacy, to), error);
    }
}

#[test]
fn clients_see_the_name_of_this_server_alone() {
    let info = r#""io.modelcontextprotocol/serverInfo""#;
    let text = format!(r#"{{"id":7,"result":{{"_meta":{{"a":1,{info}:{{"name":"up"}}}}}}}}"#);
    let expected = format!(r#"{{"_meta":{{"a":1,{info}:{{"name":"gate"}}}}}}"#);
    assert_eq!(relayed(&text, Era::Modern), expected);
    assert_eq!(relayed(&text, Era::Legacy), r#"{"_meta":{"a":1}}"#);
}

#[test]
fn errors_keep_their_text_and_codes_of_the_hop_stay_there() {
    let error = r#"{"code":-32602,"message":"m","data":{"n":1.0}}"#;
    let text = format!(r#"{{"id":7,"error":{error}}}"#);
    assert_eq!(relayed(&text, Era::Modern), error);
    let without_id = format!(r#"{{"id":null,"error":{error}}}"#);
    assert_eq!(relayed(&without_id, Era::Legacy), error);
    for (code, era, is_replaced) in [
        (-32020, Era::Modern, true),
        (-32022, Era::Legacy, true),
        (-32021, Era::Legacy, true),
        (-32021, Era::Modern, false),
        (-32077, Era::Modern, true),
        (-32077, Era::Legacy, false),
        (-32000, Era::Modern, false),
        (1, Era::Modern, false),
    ] {
        let text = format!(r#"{{"id":7,"error":{{"code":{code},"message":"m","data":1}}}}"#);
        let expected = match is_replaced {
            true => {
                format!(r#"{{"code":-32603,"message":"m","data":{{"upstreamCode":{code}}}}}"#)
            }
            false => format!(r#"{{"code":{code},"message":"m","data":1}}"#),
        };
        assert_eq!(relayed(&text, era), expected);
    }
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for (text, fault) in [
        ("", AnswerFault::Json),
        ("{", AnswerFault::Json),
        (r#"{"id":7,"result":{}} x"#, AnswerFault::Json),
        (r#"{"id":7,"result":{"a":01}}"#, AnswerFault::Json),
        ("[]", MembersFault::NotAnObject.into()),
        (r#"{"id":7}"#, AnswerFault::Shape),
        (r#"{"id":7,"result":{},"error":{}}"#, AnswerFault::Shape),
        (r#"{"id":7,"result":[]}"#, AnswerFault::Shape),
        (r#"{"id":7,"error":{"code":1}}"#, AnswerFault::Shape),
        (
            r#"{"id":7,"error":{"code":"1","message":""}}"#,
            AnswerFault::Shape,
        ),
        (r#"{"id":8,"result":{}}"#, AnswerFault::Id),
        (r#"{"id":"7","result":{}}"#, AnswerFault::Id),
        (r#"{"result":{}}"#, AnswerFault::Id),
        (
            r#"{"id":7,"result":{"resultType":"input_required","requestState":1,
            "requestState":1}}"#,
            MembersFault::Duplicate("requestState").into(),
        ),
        (
            r#"{"id":7,"result":{"resultType":"later"}}"#,
            AnswerFault::Shape,
        ),
        (
            r#"{"id":7,"id":7,"result":{}}"#,
            MembersFault::Duplicate("id").into(),
        ),
        (
            r#"{"id":7,"result":{},"res\u0075lt":{}}"#,
            MembersFault::Duplicate("result").into(),
        ),
        (
            r#"{"id":7,"result":{"isError":false,"isError":true}}"#,
            MembersFault::Duplicate("isError").into(),
        ),
    ] {
        assert_eq!(read_message(text.as_bytes(), 7), Err(fault), "{text}");
    }
    let not_text = b"{\"id\":7,\"result\":{\"a\":\"\xff\"}}";
    assert_eq!(read_message(not_text, 7), Err(AnswerFault::Json));
}

#[test]
fn progress_gets_the_token_of_the_client_and_other_tokens_are_dropped() {
    let check = |params: &str, expected: Option<&str>| {
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
        let message = read_message(text.as_bytes(), 7).expect("a message");
        let mut out = Vec::new();
        write_notification(
            &mut out,
            text.as_bytes(),
            &message,
            Some(Id::String("mine")),
        );
        let start = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#;
        let expected = expected.map(|params| format!("{start}{params}}}"));
        let out = String::from_utf8(out).expect("text");
        assert_eq!(out, expected.unwrap_or_default(), "{params}");
    };
    check(
        r#"{"progress":1.50, "progressToken": 7 ,"total":2}"#,
        Some(r#"{"progressToken":"mine","progress":1.50,"total":2}"#),
    );
    check(r#"{"progress":1,"progressToken":8}"#, None);
    check(r#"{"progress":1,"progressToken":"7"}"#, None);
    check(r#"{"progress":1e999,"progressToken":7}"#, None);
    check(r#"{"progressToken":7}"#, None);
    check("[]", None);
}

#[test]
fn log_messages_go_through_and_other_messages_are_dropped() {
    let log = r#"{"method":"notifications/message","params":{"level":"info", "data":[1e400]}}"#;
    let message = read_message(log.as_bytes(), 7).expect("a message");
    let mut out = Vec::new();
    write_notification(&mut out, log.as_bytes(), &message, None);
    let start = r#"{"jsonrpc":"2.0","method":"notifications/message","params":"#;
    let expected = format!(r#"{start}{{"level":"info", "data":[1e400]}}}}"#);
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let changed = read_message(br#"{"method":"notifications/tools/list_changed"}"#, 7);
    assert_eq!(changed, Ok(Incoming::ListChanged(ListKind::Tools)));
    let begun = read_message(
        br#"{"method":"notifications/subscriptions/acknowledged"}"#,
        7,
    );
    assert_eq!(begun, Ok(Incoming::Acknowledged));
    let other = read_message(br#"{"method":"x/y","params":{"a":1}}"#, 7);
    assert_eq!(other, Ok(Incoming::Other));
}

#[test]
fn a_request_of_an_upstream_has_an_id_that_can_be_answered() {
    let read = |id: &str| {
        let text = format!(r#"{{"id":{id},"method":"roots/list"}}"#);
        read_message(text.as_bytes(), 7)
    };
    for id in [r#""q""#, "7", "-1"] {
        let expected = Incoming::Request {
            id: 6..6 + id.len(),
            method: "roots/list".to_owned(),
            params: None,
        };
        assert_eq!(read(id), Ok(expected));
    }
    for id in ["{}", "[1]", "null", "true"] {
        assert_eq!(read(id), Err(AnswerFault::Shape), "{id}");
    }
}
