//! The envelope: requests, notifications and responses.
//!
//! Invariant: an object that is not exactly one of the three is refused, never guessed. Above all,
//! a request with an unusable `id` is not a notification. Members that JSON-RPC does not define are
//! ignored, but no object of the message has a member twice. It lacks the meaning of methods,
//! params, results and errors.

use super::error::{ShapeError, ShapeFault};
use super::id::Id;
use super::limits::JsonLimits;
use super::value::{Kind, Value};

/// One JSON-RPC message, borrowed from a decoded document.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// The id the answer carries.
        id: Id<'a>,
        /// Not empty.
        method: &'a str,
        /// An object, if present.
        params: Option<Value<'a>>,
    },
    /// Wants no answer.
    Notification {
        /// Not empty.
        method: &'a str,
        /// An object, if present.
        params: Option<Value<'a>>,
    },
    /// Answers a request: either `result` or `error` is present.
    Response {
        /// Absent only if the peer could not read the id of the request; then `error` is present.
        id: Option<Id<'a>>,
        /// Any value.
        result: Option<Value<'a>>,
        /// An object.
        error: Option<Value<'a>>,
    },
}

/// The members of an envelope, before anything is known of their kinds.
#[derive(Default)]
struct Members<'a> {
    version: Option<Value<'a>>,
    id: Option<Value<'a>>,
    method: Option<Value<'a>>,
    params: Option<Value<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
    duplicate_id: bool,
}

/// Reads a message from an object. `duplicate` is a member that the text has twice somewhere.
pub(super) fn from_value<'a>(
    value: Value<'a>,
    duplicate: Option<&'a str>,
    limits: &JsonLimits,
) -> Result<Message<'a>, ShapeError<'a>> {
    let Some(object) = value.as_object() else {
        let fault = match value.kind() {
            Kind::Array => ShapeFault::Batch,
            kind => ShapeFault::NotAnObject(kind),
        };
        return Err(ShapeError {
            id: None,
            answers: None,
            fault,
        });
    };
    let mut members = Members::default();
    for (name, value) in object {
        members.add(name, value);
    }
    let looks_like_response = members.looks_like_response();
    members.forget_nulls();
    let id = members.id(limits);
    let message = match duplicate {
        Some(name) => Err(ShapeFault::DuplicateMember(name)),
        None => message(&members, id, limits),
    };
    message.map_err(|fault| {
        let id = id.ok().flatten().filter(|_| !members.duplicate_id);
        ShapeError {
            id: id.filter(|_| !looks_like_response),
            answers: id.filter(|_| members.method.is_none()),
            fault,
        }
    })
}

impl<'a> Members<'a> {
    fn add(&mut self, name: &str, value: Value<'a>) {
        let place = match name {
            "jsonrpc" => &mut self.version,
            "id" => {
                self.duplicate_id = self.id.is_some();
                &mut self.id
            }
            "method" => &mut self.method,
            "params" => &mut self.params,
            "result" => &mut self.result,
            "error" => &mut self.error,
            _ => return,
        };
        *place = Some(value);
    }

    /// A refusal of a response carries no id: that belongs to the receiver's own requests.
    fn looks_like_response(&self) -> bool {
        self.method.is_none_or(|method| method.is_null())
            && (self.result.is_some() || self.error.is_some())
    }

    /// Null in a member that may be left out is absence. A result may be null, unless another
    /// member decides the kind of the message; an id may be null in an error only (JSON-RPC 2.0
    /// section 5).
    fn forget_nulls(&mut self) {
        let forget = |member: &mut Option<Value<'a>>| {
            member.take_if(|value| value.is_null());
        };
        forget(&mut self.params);
        forget(&mut self.error);
        if self.error.is_some() || self.method.is_some_and(|method| !method.is_null()) {
            forget(&mut self.result);
        }
        if self.error.is_some() || self.result.is_some() {
            forget(&mut self.method);
        }
        if self.error.is_some() && self.method.is_none() {
            forget(&mut self.id);
        }
    }

    fn id(&self, limits: &JsonLimits) -> Result<Option<Id<'a>>, ShapeFault<'a>> {
        let Some(value) = self.id else {
            return Ok(None);
        };
        let id = Id::read(value).ok_or_else(|| id_fault(value))?;
        match id {
            Id::String(text) if text.len() > limits.id_bytes_max => Err(ShapeFault::IdTooLong {
                id_bytes: text.len(),
                id_bytes_max: limits.id_bytes_max,
            }),
            _ => Ok(Some(id)),
        }
    }
}

/// Why `value` is no id. An integer beyond 64 bits is read as a float.
#[cold]
fn id_fault(value: Value<'_>) -> ShapeFault<'static> {
    match value.as_f64() {
        Some(number) if number >= u64::MAX as f64 || number <= i64::MIN as f64 => {
            ShapeFault::IdOutOfRange
        }
        _ => ShapeFault::IdKind(value.kind()),
    }
}

fn message<'a>(
    members: &Members<'a>,
    id: Result<Option<Id<'a>>, ShapeFault<'a>>,
    limits: &JsonLimits,
) -> Result<Message<'a>, ShapeFault<'a>> {
    if members.version.and_then(|version| version.as_str()) != Some("2.0") {
        return Err(ShapeFault::Version);
    }
    let id = id?;
    let answers = members.result.is_some() || members.error.is_some();
    match members.method {
        Some(_) if answers => Err(ShapeFault::RequestAndResponse),
        Some(method) => call(id, method, members.params, limits),
        None if answers => response(id, members.result, members.error),
        None => Err(ShapeFault::NoPurpose),
    }
}

fn call<'a>(
    id: Option<Id<'a>>,
    method: Value<'a>,
    params: Option<Value<'a>>,
    limits: &JsonLimits,
) -> Result<Message<'a>, ShapeFault<'a>> {
    let Some(method) = method.as_str() else {
        return Err(ShapeFault::MethodKind(method.kind()));
    };
    if method.is_empty() {
        return Err(ShapeFault::MethodEmpty);
    }
    if method.len() > limits.method_bytes_max {
        return Err(ShapeFault::MethodTooLong {
            method_bytes: method.len(),
            method_bytes_max: limits.method_bytes_max,
        });
    }
    if let Some(params) = params
        && params.kind() != Kind::Object
    {
        return Err(ShapeFault::ParamsKind(params.kind()));
    }
    Ok(match id {
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    })
}

fn response<'a>(
    id: Option<Id<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
) -> Result<Message<'a>, ShapeFault<'a>> {
    match (result, error) {
        (Some(_), Some(_)) => return Err(ShapeFault::ResultAndError),
        (Some(_), None) if id.is_none() => return Err(ShapeFault::ResultWithoutId),
        (None, Some(error)) if error.kind() != Kind::Object => {
            return Err(ShapeFault::ErrorKind(error.kind()));
        }
        _ => {}
    }
    Ok(Message::Response { id, result, error })
}

#[cfg(test)]
mod tests;
