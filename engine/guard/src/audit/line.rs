//! The JSON line of a record: its members in their order, each on one line, nothing hidden.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use sha2::{Digest as _, Sha256};

use super::key::ArgumentsKey;
use super::record::{Record, TEXT_BYTES_MAX};
use super::{LINE_BYTES_MAX, VERSION};
use crate::hidden::is_hidden;

/// Texts have at most so many bytes: fewer if the line would be too long. Characters that are
/// escaped take six times as many.
const CLIPS: [usize; 3] = [TEXT_BYTES_MAX, 96, 16];
/// The bytes of the member `hash` and the end of the line.
const HASH_MEMBER_BYTES: usize = 55;
/// The last microsecond of the year 9999, the last that RFC 3339 can write.
const TIME_US_MAX: u64 = 253_402_300_799_999_999;

/// The place of a record in the chain.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) seq: u64,
    pub(super) node: &'a str,
    pub(super) prev: &'a [u8; 32],
}

/// A signature over the chain before a record, with the id of its key.
pub(super) type Signature = ([u8; 8], [u8; super::key::SIGNATURE_BYTES]);

/// A line without the member `hash`. Absent parts are left out.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    seq: u64,
    time: Time,
    node: &'a str,
    #[serde(flatten)]
    parts: Parts<'a>,
    prev: Base64<'a>,
}

/// The parts of a line that depend on the event.
#[derive(Serialize)]
struct Parts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u16>,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Hex<8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Hex<8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Hex<8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Hex<8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Base64<'a>>,
}

/// Appends the line of a record without its member `hash` and without its end.
pub(super) fn write(
    out: &mut Vec<u8>,
    place: Place<'_>,
    record: &Record<'_>,
    signature: Option<&Signature>,
    key: Option<&ArgumentsKey>,
) {
    let start = out.len();
    for clip in CLIPS {
        out.truncate(start);
        let args = match clip == TEXT_BYTES_MAX || record.arguments_digest.is_some() {
            true => args(record, key),
            false => None,
        };
        let line = Line {
            v: VERSION,
            seq: place.seq,
            time: Time(record.time_us),
            node: place.node,
            parts: Parts::new(record, clip, args, signature),
            prev: Base64(place.prev),
        };
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Visible);
        let written = line.serialize(&mut serializer);
        written.expect("a line is serializable, and a vector takes all");
        if out.len() - start <= LINE_BYTES_MAX - HASH_MEMBER_BYTES {
            return;
        }
    }
    let bytes = out.len() - start;
    assert!(
        bytes <= LINE_BYTES_MAX - HASH_MEMBER_BYTES,
        "a line of {bytes} bytes in spite of clipped texts"
    );
}

/// Ends a line with its hash.
pub(super) fn write_hash(out: &mut Vec<u8>, hash: &[u8; 32]) {
    out.pop();
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(URL_SAFE_NO_PAD.encode(hash).as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// The parts of a whole line: the bytes that the hash is over, and the text of the hash.
pub(super) fn split_hash(line: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let (start, end) = line.split_at_checked(line.len().checked_sub(HASH_MEMBER_BYTES - 1)?)?;
    let hash = end.strip_prefix(b",\"hash\":\"")?.strip_suffix(b"\"}")?;
    let hash = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
    Some(([start, b"}"].concat(), hash))
}

/// The arguments that a record has: their digest under the key, or a copy.
fn args(record: &Record<'_>, key: Option<&ArgumentsKey>) -> Option<serde_json::Value> {
    if let Some(digest) = &record.arguments_digest {
        let digest = URL_SAFE_NO_PAD.encode(key?.digest(digest));
        return Some(serde_json::Value::String(digest));
    }
    serde_json::from_str(record.arguments?).ok()
}

impl<'a> Parts<'a> {
    fn new(
        record: &Record<'a>,
        clip: usize,
        args: Option<serde_json::Value>,
        signature: Option<&'a Signature>,
    ) -> Parts<'a> {
        let clipped =
            |text: Option<&'a str>| text.map(|text| &text[..text.floor_char_boundary(clip)]);
        Parts {
            shard: record.shard,
            event: record.event.name(),
            principal: clipped(record.principal),
            client: clipped(record.client),
            issuer: clipped(record.issuer),
            peer: record.peer,
            session: record.session.map(start_of_hash),
            request: record.request.map(start_of_hash),
            trace: record.trace.map(Hex),
            method: clipped(record.method),
            kind: clipped(record.kind),
            name: clipped(record.name),
            decision: clipped(record.decision),
            rule: clipped(record.rule),
            policy: record.policy.map(Hex),
            outcome: clipped(record.outcome),
            duration_us: record.duration_us,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            args,
            from: record.from_us.map(Time),
            to: record.to_us.map(Time),
            count: record.count,
            key: signature.map(|(id, _)| Hex(*id)),
            signature: signature.map(|(_, signature)| Base64(signature)),
        }
    }
}

fn start_of_hash(bytes: &[u8]) -> Hex<8> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    Hex(*hash.first_chunk().expect("it is longer"))
}

/// Lower-case hexadecimal digits.
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Base64 for URLs without padding.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &URL_SAFE_NO_PAD))
    }
}

/// A time in microseconds since 1970, as RFC 3339 writes it.
struct Time(u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = UNIX_EPOCH + Duration::from_micros(self.0.min(TIME_US_MAX));
        serializer.collect_str(&humantime::format_rfc3339_micros(time))
    }
}

/// JSON without spaces, in which hidden characters are escaped.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, it)| is_hidden(*it)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}
