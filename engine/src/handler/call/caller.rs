//! The principal, the exposed headers and the trace of a call.

use std::sync::Arc;

use super::Call;
use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::handler::caller_info::CallerInfo;

impl Call {
    /// The name of the principal: the subject of an access token, the id of an API key, the user
    /// of a process on this host, a name in a certificate, or the name that the proxy in front put
    /// into the header `server.principal_header`. Nothing for an anonymous client. Different
    /// issuers may have one name for two people: see [`Call::identity`].
    ///
    /// ```
    /// # use corelane::{Call, CallError};
    /// async fn greet(call: &Call) -> Result<String, CallError> {
    ///     let name = call.principal().ok_or_else(|| CallError::new("log in first"))?;
    ///     Ok(format!("hello {name}"))
    /// }
    /// ```
    pub fn principal(&self) -> Option<String> {
        self.with_caller_info(|it| it.identity().map(|identity| identity.subject.to_string()))
    }

    /// The identity behind the request: how it is known, its issuer, scopes and roles. No byte of
    /// the credential is in it. Nothing for an anonymous client.
    ///
    /// ```
    /// # use corelane::Call;
    /// fn owner(call: &Call) -> Option<String> {
    ///     Some(call.identity()?.principal_key().to_owned())
    /// }
    /// ```
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.with_caller_info(|it| it.identity().cloned())
    }

    /// The span of the request as the value of a field `traceparent` (W3C Trace Context), for the
    /// requests that the handler makes to other services: their spans then belong to that of the
    /// call. Nothing if the server exports no spans.
    ///
    /// ```
    /// # use corelane::Call;
    /// fn fields(call: &Call) -> Vec<(&'static str, String)> {
    ///     call.trace_parent().map(|value| ("traceparent", value)).into_iter().collect()
    /// }
    /// ```
    pub fn trace_parent(&self) -> Option<String> {
        self.span().map(|span| span.to_string())
    }

    /// The key of the principal, which owns what the call makes.
    pub(crate) fn principal_key(&self) -> Option<Box<str>> {
        self.with_caller_info(|it| {
            it.identity()
                .map(|identity| identity.principal_key().into())
        })
    }

    /// The address of the client, if peers are looked up.
    pub(crate) fn client_address(&self) -> Option<ClientAddress> {
        self.with_caller_info(CallerInfo::address)
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
