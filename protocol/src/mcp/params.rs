//! Members that the parameters of requests share, and the fault of unusable ones.

use crate::jsonrpc::{Object, Value};

/// Why a request has unusable parameters (answered -32602): the member and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamsError(pub(super) &'static str);

/// The members of `params` and the string `name` among them.
pub(super) fn read_name<'a>(params: Option<Value<'a>>) -> Option<(Object<'a>, &'a str)> {
    let members = params?.as_object()?;
    Some((members, members.get("name")?.as_str()?))
}

/// The members of `value` if it is an object of strings, or null for a member without a value.
pub(super) fn read_strings(value: Value<'_>) -> Option<Object<'_>> {
    let is_string = |value: Value<'_>| value.is_null() || value.as_str().is_some();
    let members = value.as_object()?;
    members
        .iter()
        .all(|(_, value)| is_string(value))
        .then_some(members)
}
