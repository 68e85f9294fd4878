//! The fields that control the connection and the body, and their combined meaning: RFC 9112
//! sections 6 and 9.3, RFC 9110 section 10.1.1.
//!
//! This is the only place where a body length is decided. Two statements of the length are refused
//! and never weighed against each other: the next hop may decide differently.

use super::field::Field;
use super::refusal::Refusal;
use crate::limits::HttpLimits;

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(usize),
    Chunked,
}

/// Collected while the header fields are read, checked at their end.
#[derive(Default)]
pub(super) struct Control<'a> {
    pub(super) content_length: Field<'a>,
    pub(super) transfer_encoding: Field<'a>,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    names_websocket: bool,
    continue_expected: bool,
    unknown_expected: bool,
}

impl Control<'_> {
    /// Notes the options of one `Connection` field; there may be several (RFC 9110 7.6.1).
    pub(super) fn add_connection_options(&mut self, value: &[u8]) {
        for option in list_elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Notes the protocols of one `Upgrade` field; there may be several (RFC 9110 7.8).
    pub(super) fn add_protocols(&mut self, value: &[u8]) {
        let is_websocket = |name: &[u8]| name.eq_ignore_ascii_case(b"websocket");
        self.names_websocket |= list_elements(value).any(is_websocket);
    }

    /// Notes one `Expect` field.
    pub(super) fn add_expectation(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"100-continue") {
            self.continue_expected = true;
        } else {
            self.unknown_expected = true;
        }
    }

    /// Whether the connection may stay open. 1.1: unless `close` is present; 1.0: only with
    /// `keep-alive`.
    pub(super) fn keeps_alive(&self, version_minor: u8) -> bool {
        !self.close && (version_minor >= 1 || self.keep_alive)
    }

    /// Whether the client wants the connection to go on as a WebSocket (RFC 6455 4.1).
    pub(super) fn upgrades_to_websocket(&self) -> bool {
        self.upgrade && self.names_websocket
    }

    /// Whether the client waits for `100 Continue`. HTTP/1.0 has no expectations: they are ignored.
    pub(super) fn expects_continue(&self, version_minor: u8) -> Result<bool, Refusal> {
        match (version_minor, self.unknown_expected) {
            (0, _) => Ok(false),
            (_, true) => Err(Refusal::UnknownExpectation),
            (_, false) => Ok(self.continue_expected),
        }
    }

    /// The one body length the head states; none stated is zero (RFC 9112 6.3, rule 7).
    pub(super) fn body_length(
        &self,
        version_minor: u8,
        limits: &HttpLimits,
    ) -> Result<BodyLength, Refusal> {
        match (self.content_length, self.transfer_encoding) {
            (Field::Absent, Field::Absent) => Ok(BodyLength::Bytes(0)),
            (Field::Once(value), Field::Absent) => content_length(value, limits.body_bytes_max),
            (Field::Repeated, Field::Absent) => Err(Refusal::RepeatedContentLength),
            (Field::Once(_) | Field::Repeated, _) => Err(Refusal::LengthAndCoding),
            (Field::Absent, _) if version_minor == 0 => Err(Refusal::TransferEncodingInOldVersion),
            (Field::Absent, Field::Once(value)) => transfer_coding(value),
            (Field::Absent, Field::Repeated) => Err(Refusal::InvalidTransferEncoding),
        }
    }
}

/// `1*DIGIT` and nothing else: no sign, no list, no white space (RFC 9110 8.6).
fn content_length(value: &[u8], limit_bytes: usize) -> Result<BodyLength, Refusal> {
    if value.is_empty() {
        return Err(Refusal::InvalidContentLength);
    }
    let mut body_bytes = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            // RFC 9110 8.6 allows to repair a list of equal numbers; refusing is the other choice.
            let is_list = value.contains(&b',');
            return Err(if is_list {
                Refusal::RepeatedContentLength
            } else {
                Refusal::InvalidContentLength
            });
        }
        body_bytes = body_bytes
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(byte - b'0')))
            .ok_or(Refusal::InvalidContentLength)?;
    }
    match usize::try_from(body_bytes) {
        Ok(bytes) if bytes <= limit_bytes => Ok(BodyLength::Bytes(bytes)),
        _ => Err(Refusal::BodyTooLong {
            body_bytes,
            limit_bytes,
        }),
    }
}

/// Exactly `chunked`. A list that has `chunked` anywhere but as its last and only one cannot be
/// framed reliably; a list of other codings is well formed and not implemented.
fn transfer_coding(value: &[u8]) -> Result<BodyLength, Refusal> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(BodyLength::Chunked);
    }
    let elements = list_elements(value).count();
    let chunked_early = list_elements(value)
        .take(elements.saturating_sub(1))
        .any(is_chunked);
    let any_empty = list_elements(value).any(<[u8]>::is_empty);
    if chunked_early || any_empty {
        return Err(Refusal::InvalidTransferEncoding);
    }
    Err(Refusal::UnknownTransferCoding)
}

/// The elements of a comma-separated list, trimmed; empty ones included.
fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
