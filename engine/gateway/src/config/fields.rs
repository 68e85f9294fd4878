//! Header fields that a configuration may name.

use super::fault::Fault;

/// Fields that are made for each request, and those that no proxy passes on (RFC 9110 7.6.1).
const FIELDS_REFUSED: [&str; 10] = [
    "accept",
    "authorization",
    "connection",
    "cookie",
    "expect",
    "host",
    "last-event-id",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// Fields with credentials of clients, which go to no upstream.
pub(super) const FIELDS_NOT_FORWARDED: [&str; 2] = ["api-key", "x-api-key"];
/// Starts of such fields.
const FIELD_STARTS_REFUSED: [&str; 3] = ["content-", "mcp-", "proxy-"];

/// The name of the field of a credential, in lower case.
pub(super) fn checked_credential_field(name: String) -> Result<Box<str>, Fault> {
    match name.eq_ignore_ascii_case("authorization") {
        true => Ok("authorization".into()),
        false => checked_field(name),
    }
}

/// The name of a field, in lower case, that a configuration may set or pass on.
pub(super) fn checked_field(name: String) -> Result<Box<str>, Fault> {
    // A token (RFC 9110 5.6.2).
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    let is_refused = FIELDS_REFUSED.contains(&lower.as_str())
        || FIELD_STARTS_REFUSED
            .iter()
            .any(|start| lower.starts_with(start));
    match !name.is_empty() && name.bytes().all(is_token) && !is_refused {
        true => Ok(lower.into()),
        false => Err(Fault::Field(name)),
    }
}
