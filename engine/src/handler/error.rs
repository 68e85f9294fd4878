//! How a handler fails.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display};

use corelane_protocol::binding::refusal::RETRY_AFTER_S;
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::error_code;

/// Bytes of a panic's text that are logged: it may contain bytes of a peer.
const PANIC_TEXT_BYTES_MAX: usize = 4096;
/// Bytes of a foreign error's text that are logged: it may contain bytes of a peer.
const DETAIL_BYTES_MAX: usize = 4096;

/// A handler's failure.
///
/// Of a tool, the model reads its text in a result with `isError`, and can react; of anything else
/// it is a JSON-RPC error. A failure of the request itself, which the model should not see, is made
/// with [`CallError::protocol`].
///
/// Any `std::error::Error` becomes one with `?`. Its text is for the operator: it may name hosts,
/// files or users. The client gets a general text with an id, and the log has the error with the
/// same id. [`CallError::visible`] shows an error to the client as it is.
///
/// ```
/// # use corelane::{CallError, tool};
/// /// Reads a number.
/// #[tool]
/// async fn read(text: String) -> Result<f64, CallError> {
///     let limit: f64 = std::fs::read_to_string("/etc/limit")?.trim().parse()?;
///     let number: f64 = text.parse().map_err(CallError::visible)?;
///     match number <= limit {
///         true => Ok(number),
///         false => Err(CallError::new(format!("give a number up to {limit}"))),
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CallError(Kind);

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// The handler failed: of a tool, a result with `isError`.
    Failed {
        /// For the client.
        text: String,
        /// Whether it met an error that is not its own: the log has that under the id in the text.
        is_fault: bool,
    },
    /// An error that is not the handler's own; its text is not for the client.
    Foreign(String),
    /// The handler panicked.
    Panicked,
    /// The handler was not run, because its limits are reached.
    Overloaded {
        text: String,
        /// Seconds after which it may run, at least 1.
        retry_after_s: u32,
    },
    /// The request failed: a JSON-RPC error.
    Protocol { code: i64, message: String },
    /// The client lacks a capability.
    MissingCapability(ClientCapability),
    /// There is no such resource.
    NoResource { uri: String },
}

impl CallError {
    /// The tool could not do its job; `text` is for the model.
    pub fn new(text: impl Into<String>) -> CallError {
        CallError(Kind::Failed {
            text: text.into(),
            is_fault: false,
        })
    }

    /// Shows the text of `error` to the client.
    pub fn visible(error: impl Display) -> CallError {
        CallError::new(error.to_string())
    }

    /// The request is answered with this JSON-RPC error.
    ///
    /// Codes of an application are outside -32768..=-32000 (JSON-RPC 2.0, 5.1).
    pub fn protocol(code: i64, message: impl Into<String>) -> CallError {
        CallError(Kind::Protocol {
            code,
            message: message.into(),
        })
    }

    /// The server failed: JSON-RPC error -32603.
    pub fn internal(message: impl Into<String>) -> CallError {
        CallError::protocol(error_code::INTERNAL_ERROR, message)
    }

    /// The resource does not exist: for the handler of a template, when a URI fits the template and
    /// names nothing.
    pub fn no_such_resource() -> CallError {
        CallError(Kind::NoResource { uri: String::new() })
    }

    /// The client lacks a capability that the request needs.
    pub fn missing_capability(capability: ClientCapability) -> CallError {
        CallError(Kind::MissingCapability(capability))
    }

    /// The failure as a `std::error::Error`, for functions that return an error of another kind,
    /// such as `anyhow::Error`. It is this failure again when the function's result becomes a
    /// handler's.
    ///
    /// ```
    /// # use corelane::{Call, CallError, tool};
    /// /// Computes on the pool.
    /// #[tool]
    /// async fn compute(call: &Call) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    ///     let computed = call.offload(|| 6 * 7).await.map_err(CallError::into_error)?;
    ///     Ok(computed)
    /// }
    /// ```
    pub fn into_error(self) -> impl Error + Send + Sync + 'static {
        Outer(Inner(self))
    }

    /// Names the requested resource, if it is missing.
    pub(crate) fn about(self, requested: &str) -> CallError {
        match self.0 {
            Kind::NoResource { .. } => CallError(Kind::NoResource {
                uri: requested.to_owned(),
            }),
            kind => CallError(kind),
        }
    }

    /// The handler cannot run now, and may in so many milliseconds; `text` names the limit.
    pub(crate) fn overloaded(text: String, left_ms: u64) -> CallError {
        let seconds = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        CallError(Kind::Overloaded {
            text,
            retry_after_s: seconds.max(RETRY_AFTER_S),
        })
    }

    /// Whether the handler is at fault, and not the request.
    pub(crate) fn is_fault(&self) -> bool {
        match &self.0 {
            Kind::Foreign(_) | Kind::Panicked => true,
            Kind::Failed { is_fault, .. } => *is_fault,
            Kind::Protocol { code, .. } => *code == error_code::INTERNAL_ERROR,
            Kind::Overloaded { .. } | Kind::MissingCapability(_) | Kind::NoResource { .. } => false,
        }
    }

    pub(crate) fn panicked() -> CallError {
        CallError(Kind::Panicked)
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }

    /// An error that is not the handler's own, unless a [`CallError`] is among its causes.
    fn foreign(error: &(dyn Error + 'static)) -> CallError {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Inner(own)) = error.downcast_ref() {
                return own.clone();
            }
            cause = error.source();
        }
        CallError(Kind::Foreign(with_causes(error)))
    }
}

impl Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed { text, .. } | Kind::Foreign(text) | Kind::Overloaded { text, .. } => {
                formatter.write_str(text)
            }
            Kind::Panicked => formatter.write_str("the handler panicked"),
            Kind::MissingCapability(capability) => {
                write!(
                    formatter,
                    "the client lacks the capability {}",
                    capability.as_str()
                )
            }
            Kind::NoResource { .. } => formatter.write_str("no such resource"),
            Kind::Protocol { code, message } => write!(formatter, "{message} ({code})"),
        }
    }
}

// `CallError` is deliberately no `std::error::Error`: only so can `?` convert any error.
impl<E: Error> From<E> for CallError {
    fn from(error: E) -> CallError {
        CallError(Kind::Foreign(with_causes(&error)))
    }
}

impl From<CallError> for Box<dyn Error + Send + Sync> {
    fn from(error: CallError) -> Box<dyn Error + Send + Sync> {
        Box::new(error.into_error())
    }
}

/// The text of an error and of all its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause.filter(|_| text.len() < DETAIL_BYTES_MAX) {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
    text
}

/// An error with which the function of an attribute may fail.
///
/// A [`CallError`] stays as it is, and a text is for the client. Any other error is treated as by
/// `?`: its text is logged, and the client gets an id.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error of a handler",
    note = "errors are `CallError`, texts, and what becomes `Box<dyn Error + Send + Sync>`, such \
            as `anyhow::Error` and any `std::error::Error`"
)]
pub trait HandlerError {
    /// Turns the error into a handler's failure.
    fn into_call_error(self) -> CallError;
}

impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> HandlerError for E {
    fn into_call_error(self) -> CallError {
        let any: &dyn Any = &self;
        if let Some(text) = any.downcast_ref::<String>() {
            return CallError::new(text.as_str());
        }
        if let Some(text) = any.downcast_ref::<&'static str>() {
            return CallError::new(*text);
        }
        let error: Box<dyn Error + Send + Sync> = self.into();
        CallError::foreign(&*error)
    }
}

/// The answer to a call whose `handler` panicked. The text of the panic is for the operator, not
/// for the client.
pub(super) fn panicked(handler: &str, panic: &(dyn Any + Send)) -> CallError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic with a payload that is no text");
    let text = &text[..text.floor_char_boundary(PANIC_TEXT_BYTES_MAX)];
    tracing::error!(
        handler,
        panic = text,
        "a handler panicked; its call ends with an error"
    );
    CallError::panicked()
}

/// Replaces a foreign error by an id, under which the log has it.
pub(super) fn mask_foreign<T>(
    handler: &str,
    outcome: Result<T, CallError>,
) -> Result<T, CallError> {
    outcome.map_err(|error| match error.0 {
        Kind::Foreign(detail) => mask(handler, &detail),
        kind => CallError(kind),
    })
}

#[cold]
fn mask(handler: &str, detail: &str) -> CallError {
    // Without random bits the error is logged nevertheless.
    let error_id = format!("{:016x}", getrandom::u64().unwrap_or_default());
    tracing::error!(handler, error_id, error = detail, "a handler failed");
    CallError(Kind::Failed {
        text: format!("internal error {error_id}: the server's log says more"),
        is_fault: true,
    })
}

/// A failure on its way through another type of errors, which may hide the type of an error but
/// not that of its cause.
#[derive(Debug)]
struct Outer(Inner);

/// The cause of an [`Outer`].
#[derive(Debug)]
struct Inner(CallError);

impl Display for Outer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Display for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Error for Inner {}

#[cfg(test)]
mod tests {
    use super::*;

    type BoxError = Box<dyn Error + Send + Sync>;

    #[test]
    fn a_call_error_is_found_again_in_any_wrapper() {
        let missing = || CallError::missing_capability(ClientCapability::Roots);
        let boxed: BoxError = missing().into();
        let wrapped = std::io::Error::other(missing().into_error());
        for error in [
            missing().into_call_error(),
            boxed.into_call_error(),
            wrapped.into_call_error(),
        ] {
            let kind = error.kind();
            assert!(
                matches!(kind, Kind::MissingCapability(ClientCapability::Roots)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn texts_are_for_the_client_and_foreign_errors_are_not() {
        let shown = |error: CallError| match error.into_kind() {
            Kind::Failed { text, .. } => Some(text),
            _ => None,
        };
        assert_eq!(shown("no".into_call_error()).as_deref(), Some("no"));
        let text = String::from("no");
        assert_eq!(shown(text.into_call_error()).as_deref(), Some("no"));
        assert_eq!(shown(fmt::Error.into_call_error()), None);
        assert_eq!(shown(CallError::from(fmt::Error)), None);
        let visible = CallError::visible(fmt::Error);
        assert_eq!(shown(visible), Some(fmt::Error.to_string()));
    }

    #[test]
    fn a_foreign_error_leaves_an_id_and_nothing_of_its_text() {
        let mask = |error| mask_foreign::<()>("tool a", Err(error)).expect_err("it failed");
        let masked = mask(CallError::from(std::io::Error::other("/etc/secret")));
        let text = masked.to_string();
        assert!(text.starts_with("internal error "), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let other = mask(CallError::from(std::io::Error::other("/etc/secret")));
        assert_ne!(other.to_string(), text, "each has an id of its own");
        assert_eq!(mask(CallError::new("no")).to_string(), "no");
    }

    #[test]
    fn the_log_has_the_causes_of_an_error_up_to_a_limit() {
        let error = std::io::Error::other(CallError::new("inner").into_error());
        assert_eq!(with_causes(&error), "inner: inner");
        let long = "ä".repeat(DETAIL_BYTES_MAX);
        assert_eq!(
            with_causes(&std::io::Error::other(long)).len(),
            DETAIL_BYTES_MAX
        );
    }
}
