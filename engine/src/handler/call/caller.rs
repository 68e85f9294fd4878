//! The principal and the exposed headers of a call.

use super::Call;

impl Call {
    /// The principal, which the proxy in front named in the header `server.principal_header` of the
    /// profile. Nothing if the profile names no header, or the request has none.
    ///
    /// ```
    /// # use corelane::{Call, CallError};
    /// async fn greet(call: &Call) -> Result<String, CallError> {
    ///     let name = call.principal().ok_or_else(|| CallError::new("log in first"))?;
    ///     Ok(format!("hello {name}"))
    /// }
    /// ```
    pub fn principal(&self) -> Option<String> {
        self.with_caller_info(|it| it.principal().map(str::to_owned))
    }

    /// The value of a header that the server exposes, see
    /// [`Server::with_exposed_header`](crate::Server::with_exposed_header); the name in any case.
    ///
    /// Nothing if the server does not expose it or the request has none. Several lines of one
    /// header are one value with commas between them (RFC 9110 5.3). Bytes that are not UTF-8
    /// show as U+FFFD: such a header is not taken for an absent one.
    ///
    /// ```
    /// # use corelane::Call;
    /// fn tenant(call: &Call) -> String {
    ///     call.header("x-tenant").unwrap_or_else(|| "default".to_owned())
    /// }
    /// ```
    pub fn header(&self, name: &str) -> Option<String> {
        self.with_caller_info(|it| it.header(name).map(str::to_owned))
    }
}
