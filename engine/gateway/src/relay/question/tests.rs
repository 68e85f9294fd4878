//! Requests of upstreams, in the form of each era.

use corelane_protocol::jsonrpc::MembersFault;
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;

use super::super::{AnswerFault, Incoming, read_message};
use super::{InputRequired, QuestionWay, STATE_BYTES_MAX, read_question};

fn way(to: Era, declared: &[ClientCapability]) -> QuestionWay<'static> {
    let mut capabilities = ClientCapabilities::default();
    declared.iter().for_each(|it| capabilities.insert(*it));
    QuestionWay {
        to,
        capabilities,
        prefix: "[up] ",
        elicitation_id: "e-7",
        related_task: None,
    }
}

const ALL: [ClientCapability; 5] = [
    ClientCapability::ElicitationForm,
    ClientCapability::ElicitationUrl,
    ClientCapability::Sampling,
    ClientCapability::SamplingTools,
    ClientCapability::Roots,
];

fn question(method: &str, params: &str, way: &QuestionWay<'_>) -> Option<ClientRequest> {
    let range = 0..params.len();
    read_question(params.as_bytes(), (method, Some(range)), way).expect(params)
}

fn params_of(request: &ClientRequest) -> String {
    match request {
        ClientRequest::Relayed { params, .. } => params.get().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn params_stay_to_the_digit_but_for_members_of_one_era() {
    let form = r#"{"mode":"form","message":"\u00e4 name?","requestedSchema":{"n": 1e400}}"#;
    let url = r#"{"mode":"url","message":"m","url":"https://a/","elicitationId":"9"}"#;
    for (to, method, params, expected) in [
        (
            Era::Legacy,
            "elicitation/create",
            form,
            r#"{"message":"[up] \u00e4 name?","requestedSchema":{"n": 1e400}}"#,
        ),
        (
            Era::Modern,
            "elicitation/create",
            form,
            r#"{"mode":"form","message":"[up] \u00e4 name?","requestedSchema":{"n": 1e400}}"#,
        ),
        (
            Era::Modern,
            "elicitation/create",
            url,
            r#"{"mode":"url","message":"[up] m","url":"https://a/"}"#,
        ),
        (
            Era::Legacy,
            "elicitation/create",
            r#"{"mode":"url","message":"m","url":"https://a/"}"#,
            r#"{"mode":"url","message":"[up] m","url":"https://a/","elicitationId":"e-7"}"#,
        ),
        (
            Era::Legacy,
            "sampling/createMessage",
            r#"{"messages":[ ],"maxTokens":9,"task":{},"_meta":{"progressToken":1,"own":2}}"#,
            r#"{"messages":[ ],"maxTokens":9,"_meta":{"own":2}}"#,
        ),
        (Era::Modern, "roots/list", "{}", "{}"),
    ] {
        let request = question(method, params, &way(to, &ALL)).expect(params);
        assert_eq!(params_of(&request), expected);
        assert_eq!(request.method(), method);
    }
    let none = read_question(b"", ("roots/list", None), &way(Era::Legacy, &ALL));
    assert_eq!(params_of(&none.expect("valid").expect("declared")), "{}");
}

#[test]
fn a_request_without_its_capability_goes_to_no_client() {
    for (method, params, needs) in [
        (
            "elicitation/create",
            "{}",
            ClientCapability::ElicitationForm,
        ),
        (
            "elicitation/create",
            r#"{"m\u006fde":"url"}"#,
            ClientCapability::ElicitationUrl,
        ),
        ("sampling/createMessage", "{}", ClientCapability::Sampling),
        (
            "sampling/createMessage",
            r#"{"toolChoice":{}}"#,
            ClientCapability::SamplingTools,
        ),
        ("roots/list", "{}", ClientCapability::Roots),
    ] {
        let found = question(method, params, &way(Era::Modern, &[needs]));
        assert_eq!(found.map(|it| it.needs()), Some(needs), "{method} {params}");
        let others: Vec<_> = ALL.into_iter().filter(|it| *it != needs).collect();
        let found = question(method, params, &way(Era::Modern, &others));
        assert!(found.is_none(), "{method} {params}");
    }
    let all = way(Era::Modern, &ALL);
    for (method, params) in [
        ("tools/list", "{}"),
        ("elicitation/create", r#"{"mode":"voice"}"#),
        ("elicitation/create", r#"{"mode":1}"#),
    ] {
        assert!(question(method, params, &all).is_none(), "{method}");
    }
    let twice = r#"{"mode":"form","mode":"url"}"#;
    let range = Some(0..twice.len());
    let read = read_question(twice.as_bytes(), ("elicitation/create", range), &all);
    let fault = read.expect_err("it is there twice");
    assert_eq!(fault, MembersFault::Duplicate("mode"));
}

/// Reads a result with these members.
fn input(members: &str) -> Result<InputRequired, AnswerFault> {
    let text = format!(r#"{{"id":7,"result":{{"resultType":"input_required","x":1,{members}}}}}"#);
    match read_message(text.as_bytes(), 7)? {
        Incoming::InputRequired { requests, state } => {
            let all = way(Era::Modern, &ALL);
            InputRequired::read(text.as_bytes(), (requests, state), &all)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn input_has_requests_with_keys_and_a_state_to_the_byte() {
    let request = r#"{"method":"roots/list"}"#;
    let read = input(&format!(
        r#""inputRequests":{{"a\u0062":{request},"c":{request}}},"requestState":"\u0061\/" "#
    ));
    let read = read.expect("valid");
    let keys: Vec<_> = read.questions.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["ab", "c"]);
    assert_eq!(read.state.as_deref(), Some(br#""\u0061\/""#.as_slice()));
    let only_state = input(r#""requestState":"s""#).expect("valid");
    assert!(only_state.questions.is_empty());
    let no_state = input(&format!(r#""inputRequests":{{"a":{request}}}"#));
    assert_eq!(no_state.expect("valid").state, None);
}

#[test]
fn an_error_that_requires_pages_becomes_requests_for_them() {
    let page = |mode: &str| {
        format!(r#"{{"mode":"{mode}","elicitationId":"1","url":"https://a/","message":"m"}}"#)
    };
    let read = |elicitations: &str, declared: &[ClientCapability]| {
        let data = format!(r#"{{"elicitations":{elicitations}}}"#);
        let text = format!(r#"{{"id":7,"error":{{"code":-32042,"message":"m","data":{data}}}}}"#);
        match read_message(text.as_bytes(), 7).expect("valid") {
            Incoming::Error { range, .. } => {
                let way = way(Era::Modern, declared);
                InputRequired::of_error(text.as_bytes(), range, &way)
            }
            other => panic!("{other:?}"),
        }
    };
    let all = format!("[{0}, {0}]", page("url"));
    let found = read(&all, &ALL).expect("pages");
    let keys: Vec<_> = found.questions.iter().map(|(key, _)| &**key).collect();
    assert_eq!((keys, found.state), (vec!["0", "1"], None));
    let params = params_of(&found.questions[0].1);
    let expected = r#"{"mode":"url","url":"https://a/","message":"[up] m"}"#;
    assert_eq!(params, expected);
    assert!(read(&all, &[ClientCapability::ElicitationForm]).is_none());
    for unusable in ["[]", "{}", "[1]", &format!("[{}]", page("form"))] {
        assert!(read(unusable, &ALL).is_none(), "{unusable}");
    }
}

#[test]
fn input_that_cannot_be_passed_on_is_the_fault_of_the_upstream() {
    let request = r#"{"method":"roots/list"}"#;
    let many: Vec<_> = (0..65).map(|key| format!(r#""{key}":{request}"#)).collect();
    let long = "s".repeat(STATE_BYTES_MAX - 1);
    for (members, expected) in [
        (r#""a":1"#.to_owned(), AnswerFault::Shape),
        (r#""requestState":1"#.to_owned(), AnswerFault::Shape),
        (
            format!(r#""requestState":"{long}""#),
            AnswerFault::StateBytes(STATE_BYTES_MAX + 1),
        ),
        (
            r#""inputRequests":{"a":{"method":"tools/list"}}"#.to_owned(),
            AnswerFault::Undeclared,
        ),
        (
            r#""inputRequests":{"a":{"params":{}}}"#.to_owned(),
            AnswerFault::Shape,
        ),
        (
            format!(r#""inputRequests":{{"a":{request},"\u0061":{request}}}"#),
            AnswerFault::Shape,
        ),
        (
            r#""inputRequests":[]"#.to_owned(),
            MembersFault::NotAnObject.into(),
        ),
        (
            format!(r#""inputRequests":{{{}}}"#, many.join(",")),
            AnswerFault::Questions,
        ),
        (
            format!(r#""inputRequests":{{"{}":{request}}}"#, "k".repeat(129)),
            AnswerFault::Questions,
        ),
    ] {
        let fault = input(&members).expect_err(&members);
        assert_eq!(fault, expected, "{members}");
    }
}
