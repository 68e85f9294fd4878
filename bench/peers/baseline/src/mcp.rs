//! Answers of an upstream: those that a gateway needs before it calls, and the answer of a
//! call of `echo`, each with the id of its request.
//!
//! Method, id and message are found by a search for their text in the body: no JSON is parsed.

use std::io::Write;

use memchr::memmem;

const DISCOVER: &str = concat!(
    r#""resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"#,
    r#""ttlMs":3600000,"cacheScope":"public","#,
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"baseline","version":"0.1.0"}}"#,
);
const LIST: &str = concat!(
    r#""resultType":"complete","ttlMs":3600000,"cacheScope":"public","#,
    r#""tools":[{"name":"echo","inputSchema":{"type":"object","#,
    r#""properties":{"message":{"type":"string"}},"required":["message"]}}]"#,
);
/// The result of a call, but for the text; the answer is that of the baseline if the text is.
const CALL: (&str, &str) = (
    r#""resultType":"complete","content":[{"type":"text","text":""#,
    r#""}]   "#,
);

/// Appends the answer to a request, head and body.
pub(crate) fn answer(request: &[u8], out: &mut Vec<u8>) {
    let body = memmem::find(request, b"\r\n\r\n").map_or(request, |end| &request[end..]);
    let has = |method: &str| memmem::find(body, method.as_bytes()).is_some();
    let (start, text, end): (&str, &[u8], &str) = match () {
        () if has(r#""server/discover""#) => (DISCOVER, b"", ""),
        () if has(r#""tools/list""#) => (LIST, b"", ""),
        () => (
            CALL.0,
            value(body, r#""message":""#, b"\"").unwrap_or(b""),
            CALL.1,
        ),
    };
    let id = value(body, r#""id":"#, b",}").unwrap_or(b"null");
    let fixed_bytes = r#"{"jsonrpc":"2.0","id":,"result":{}}"#.len();
    let body_bytes = fixed_bytes + id.len() + start.len() + text.len() + end.len();
    // A vector takes all bytes.
    let _ = write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    let id_at = br#"{"jsonrpc":"2.0","id":"#;
    for part in [
        id_at,
        id,
        br#","result":{"#,
        start.as_bytes(),
        text,
        end.as_bytes(),
        b"}}",
    ] {
        out.extend_from_slice(part);
    }
}

/// The bytes of a body after `name`, to the first of the bytes `ends`.
fn value<'b>(body: &'b [u8], name: &str, ends: &[u8]) -> Option<&'b [u8]> {
    let start = memmem::find(body, name.as_bytes())? + name.len();
    let rest = &body[start..];
    let end = rest.iter().position(|byte| ends.contains(byte))?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::{CALL, DISCOVER, LIST, answer};
    use crate::answer::BATCH;

    fn answer_to(body: &str) -> String {
        let mut out = Vec::new();
        let request = format!("POST /mcp HTTP/1.1\r\nContent-Length: 1\r\n\r\n{body}");
        answer(request.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_the_method_with_the_id_of_the_request() {
        for (method, id, result) in [
            ("server/discover", "1", DISCOVER.to_owned()),
            ("tools/list", "\"a\"", LIST.to_owned()),
            ("tools/call", "12345", format!("{}bc{}", CALL.0, CALL.1)),
        ] {
            let params = r#"{"arguments":{"message":"bc"}}"#;
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            let answer = answer_to(&body);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.ends_with(&format!("Content-Length: {}", body.len())),
                "{answer}"
            );
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result}}}}}"#);
            assert_eq!(body, expected);
        }
        assert!(answer_to("{}").contains(r#""id":null,"#));
    }

    #[test]
    fn a_call_can_have_the_answer_of_the_baseline() {
        let body = format!(
            r#"{{"id":1,"arguments":{{"message":"{}"}}}}"#,
            "a".repeat(100)
        );
        let answer = answer_to(&body);
        assert_eq!(answer.as_bytes(), &BATCH[..answer.len()]);
    }
}
