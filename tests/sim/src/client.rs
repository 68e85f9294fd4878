//! A client, and the bodies of its requests.

use corelane_cluster::record::Change;

use crate::event::Response;

/// One attempt of so many is answered in many parts.
pub(crate) const STREAM_EVERY: u64 = 40;

/// The work of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A tool with side effects.
    Call,
    /// A method without side effects, which shows the state of the session.
    Show,
    /// A change.
    Change(Change),
    /// DELETE.
    Delete,
    /// A stream is resumed after this event, and brings some more.
    Resume(u64),
}

/// A client with one session at a time.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) session: Option<u128>,
    pub(crate) uris: Vec<Box<str>>,
    /// The last event that it has received.
    pub(crate) event: u64,
    pub(crate) changes: u64,
    pub(crate) work: Option<Work>,
    pub(crate) op: u64,
    pub(crate) tries: u32,
    /// The attempt that it waits for.
    pub(crate) attempt: Option<u64>,
    pub(crate) last: Option<Response>,
}

/// The body of a request: number of the attempt and kind, then the change.
pub(crate) fn body(attempt: u64, work: &Work) -> Box<[u8]> {
    let mut body = attempt.to_le_bytes().to_vec();
    let (kind, text): (u8, &str) = match work {
        Work::Call => (0, ""),
        Work::Show => (1, ""),
        Work::Delete => (2, ""),
        Work::Resume(after) => {
            body.push(7);
            body.extend(after.to_le_bytes());
            return body.into();
        }
        Work::Change(Change::Level(level)) => {
            body.extend([3, *level]);
            return body.into();
        }
        Work::Change(Change::Subscribe(uri)) => (4, uri),
        Work::Change(Change::Unsubscribe(uri)) => (5, uri),
        Work::Change(Change::Stream(..)) => (6, ""),
    };
    body.push(kind);
    body.extend_from_slice(text.as_bytes());
    body.into()
}

/// The number of the attempt and the work of a body.
pub(crate) fn parse(body: &[u8]) -> Option<(u64, Work)> {
    let (number, rest) = body.split_first_chunk::<8>()?;
    let (kind, rest) = rest.split_first()?;
    let text = || Box::from(String::from_utf8_lossy(rest));
    let work = match kind {
        0 => Work::Call,
        1 => Work::Show,
        2 => Work::Delete,
        3 => Work::Change(Change::Level(*rest.first()?)),
        4 => Work::Change(Change::Subscribe(text())),
        5 => Work::Change(Change::Unsubscribe(text())),
        7 => Work::Resume(u64::from_le_bytes(*rest.first_chunk()?)),
        _ => return None,
    };
    Some((u64::from_le_bytes(*number), work))
}
