//! The requests, read from the bytes that a test sends.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::http::next_chunk;
use crate::request::VERSION_KEY;
use crate::wire_schema::Revision;

/// The properties of a request that the check of its answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandlerKind {
    /// The method, if the body is a request.
    pub(super) method: Option<String>,
    /// The revision in force.
    pub(super) revision: Revision,
    /// Whether the answer decides on the revision.
    pub(super) is_handshake: bool,
}

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    unread: Vec<u8>,
    is_given_up: bool,
}

/// The start of the unread bytes.
enum Step {
    /// Something that may become a request.
    Partial,
    /// A request of so many bytes.
    Whole(HandlerKind, usize),
    /// Something servers may read differently.
    Doubtful,
}

impl Outgoing {
    /// The requests that `bytes` complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<HandlerKind> {
        let mut found = Vec::new();
        if self.is_given_up {
            return found;
        }
        self.unread.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match first_request(&self.unread[at..]) {
                Step::Whole(requested, consumed) => {
                    found.push(requested);
                    at += consumed;
                }
                Step::Partial => {
                    self.unread.drain(..at);
                    return found;
                }
                Step::Doubtful => {
                    self.give_up();
                    return found;
                }
            }
        }
    }

    /// Gives up: later answers cannot be matched with requests.
    pub(super) fn give_up(&mut self) {
        self.is_given_up = true;
        self.unread = Vec::new();
    }
}

impl HandlerKind {
    /// A request that could not be read; any answer may follow.
    pub(super) fn unread() -> HandlerKind {
        HandlerKind {
            method: None,
            revision: Revision::November2025,
            is_handshake: false,
        }
    }

    /// A request with these fields and this body.
    fn of(fields: &[(&str, &str)], body: &[u8]) -> HandlerKind {
        let field = |name| field(fields, name).ok().flatten();
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let method = message["method"].as_str().map(str::to_owned);
        // The body decides on the era: headers are only cross-checked.
        let is_modern = message["params"]["_meta"].get(VERSION_KEY).is_some();
        let of_session = || sessions().get(field("MCP-Session-Id")?).copied();
        let of_header = || Revision::named(field("MCP-Protocol-Version")?);
        HandlerKind {
            is_handshake: !is_modern && method.as_deref() == Some("initialize"),
            method: method.filter(|_| message.get("id").is_some()),
            revision: match is_modern {
                true => Revision::July2026,
                false => of_session()
                    .or_else(of_header)
                    .unwrap_or(Revision::November2025),
            },
        }
    }
}

fn first_request(bytes: &[u8]) -> Step {
    if bytes.is_empty() {
        return Step::Partial;
    }
    let Some(head_bytes) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Step::Partial;
    };
    let Some(fields) = str::from_utf8(&bytes[..head_bytes])
        .ok()
        .and_then(read_head)
    else {
        return Step::Doubtful;
    };
    let rest = &bytes[head_bytes + 4..];
    let body = match (
        field(&fields, "Content-Length"),
        field(&fields, "Transfer-Encoding"),
    ) {
        (Ok(None), Ok(None)) => Ok(Some((Vec::new(), 0))),
        (Ok(Some(length)), Ok(None)) => sized(length, rest),
        (Ok(None), Ok(Some("chunked"))) => chunked(rest),
        _ => Err(Doubt),
    };
    match body {
        Err(Doubt) => Step::Doubtful,
        Ok(None) => Step::Partial,
        Ok(Some((body, body_bytes))) => {
            Step::Whole(HandlerKind::of(&fields, &body), head_bytes + 4 + body_bytes)
        }
    }
}

/// Something servers may read differently.
#[derive(Debug)]
struct Doubt;

/// The fields of a head without its empty line; nothing if it is not plain.
fn read_head(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (verb, _target, version) = (words.next()?, words.next()?, words.next()?);
    let is_plain = words.next().is_none()
        && verb.bytes().all(|byte| byte.is_ascii_uppercase())
        && matches!(version, "HTTP/1.1" | "HTTP/1.0");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_plain = !name.is_empty() && !name.contains(char::is_whitespace);
        is_plain.then_some((name, value.trim_matches([' ', '\t'])))
    });
    if is_plain { fields.collect() } else { None }
}

/// The only field of a name.
fn field<'f>(fields: &[(&str, &'f str)], name: &str) -> Result<Option<&'f str>, Doubt> {
    let mut found = fields
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first.map(|(_, value)| *value)),
        _ => Err(Doubt),
    }
}

/// A body of `length` bytes and their number; nothing while it is not whole.
fn sized(length: &str, rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Doubt> {
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Doubt);
    }
    let length: usize = length.parse().map_err(|_| Doubt)?;
    Ok(rest.get(..length).map(|body| (body.to_vec(), length)))
}

/// A body in chunks and the number of its bytes with framing; nothing while it is not whole.
fn chunked(rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Doubt> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        match next_chunk(&rest[at..]).map_err(|_| Doubt)? {
            None => return Ok(None),
            Some((data, consumed)) => {
                at += consumed;
                if data.is_empty() {
                    return Ok(Some((body, at)));
                }
                body.extend_from_slice(data);
            }
        }
    }
}

/// The revisions of all sessions that were made in this process. Their ids are random, so the
/// sessions of all servers fit into one map.
pub(super) fn sessions() -> MutexGuard<'static, HashMap<String, Revision>> {
    static SESSIONS: LazyLock<Mutex<HashMap<String, Revision>>> = LazyLock::new(Mutex::default);
    // A test that fails elsewhere leaves the map whole.
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}
