//! Reads responses as a client would.

use serde_json::Value;

/// One response.
#[derive(Debug, PartialEq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Body,
}

/// The body after the head.
#[derive(Debug, PartialEq)]
pub(super) enum Body {
    None,
    Json(Value),
    /// So many spaces of an answer in JSON; whether it has ended.
    Spaces(usize, bool),
    /// Events and comments so far; whether the stream has ended.
    Stream(Vec<Item>, bool),
}

/// One item of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    Event(Value),
    Comment,
}

impl Response {
    /// The value of the field `name`, in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The message that answers the request.
    #[track_caller]
    pub(super) fn message(&self) -> &Value {
        match &self.body {
            Body::Json(message) => message,
            Body::Stream(items, true) => match items.last() {
                Some(Item::Event(message)) => message,
                other => panic!("no answer: {other:?}"),
            },
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// Reads everything that was sent.
#[track_caller]
pub(super) fn read_all(mut sent: &[u8]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !sent.is_empty() {
        let (response, rest) = read_one(sent);
        responses.push(response);
        sent = rest;
    }
    responses
}

#[track_caller]
fn read_one(sent: &[u8]) -> (Response, &[u8]) {
    let head_end = find(sent, b"\r\n\r\n").expect("a whole head");
    let (head, rest) = (&sent[..head_end], &sent[head_end + 4..]);
    let mut lines = str::from_utf8(head).expect("a head of text").split("\r\n");
    let status_line = lines.next().expect("a status line");
    let status = status_line.strip_prefix("HTTP/1.1 ").expect("a version");
    let fields: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect("a field"))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut response = Response {
        status: status[..3].parse().expect("a status"),
        fields,
        body: Body::None,
    };
    let is_stream = response.field("content-type") == Some("text/event-stream");
    let is_chunked = response.field("transfer-encoding") == Some("chunked");
    let ends_with_connection = response.field("connection") == Some("close");
    let (body, ended, rest) = match response.field("content-length") {
        Some(length) => {
            let (body, rest) = rest.split_at(length.parse().expect("a length"));
            (body.to_vec(), true, rest)
        }
        None if is_chunked => read_chunks(rest),
        None if is_stream || ends_with_connection => (rest.to_vec(), false, &rest[rest.len()..]),
        None => (Vec::new(), true, rest),
    };
    if is_stream {
        response.body = Body::Stream(read_items(&body), ended);
    } else if !body.trim_ascii().is_empty() {
        response.body = Body::Json(serde_json::from_slice(&body).expect("a body of JSON"));
    } else if !body.is_empty() {
        response.body = Body::Spaces(body.len(), ended);
    }
    (response, rest)
}

/// The data of the chunks so far, whether the last one was there, and the bytes after it.
fn read_chunks(mut rest: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let mut data = Vec::new();
    while let Some(line_end) = find(rest, b"\r\n") {
        let digits = str::from_utf8(&rest[..line_end]).expect("a chunk size");
        let bytes = usize::from_str_radix(digits, 16).expect("a chunk size");
        rest = &rest[line_end + 2..];
        data.extend_from_slice(&rest[..bytes]);
        assert_eq!(&rest[bytes..bytes + 2], b"\r\n");
        rest = &rest[bytes + 2..];
        if bytes == 0 {
            return (data, true, rest);
        }
    }
    (data, false, rest)
}

/// Events and comments; the first event of a stream and retry times are skipped.
fn read_items(data: &[u8]) -> Vec<Item> {
    let text = str::from_utf8(data).expect("a stream of text");
    let items = text.split_terminator("\n\n");
    items
        .filter_map(|item| {
            if item.starts_with(':') {
                return Some(Item::Comment);
            }
            let mut lines = item.lines();
            let data = lines.find_map(|line| line.strip_prefix("data: "))?;
            Some(Item::Event(
                serde_json::from_str(data).expect("an event of JSON"),
            ))
        })
        .collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}
