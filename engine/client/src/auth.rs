//! Credentials of a client over HTTP (MCP basic/authorization in both revisions).
//!
//! An [`Auth`] gives the `Authorization` of each request, and gets the challenge of a server that
//! refuses it. Credentials go to the server of the client's URL and to the authorization server
//! that it names, and nowhere else: redirections are not followed.

#[cfg(feature = "oauth")]
mod authorization_url;
#[cfg(feature = "oauth")]
mod client_credentials;
#[cfg(feature = "oauth")]
mod interactive;
#[cfg(feature = "oauth")]
mod redirect;
#[cfg(feature = "oauth")]
mod registration;
#[cfg(feature = "oauth")]
mod scopes;
#[cfg(feature = "oauth")]
mod store;

use std::future::Future;
use std::pin::Pin;

pub use corelane_oauth::{AuthError, Challenge};

#[cfg(feature = "oauth")]
pub use client_credentials::ClientCredentials;
#[cfg(feature = "oauth")]
pub use interactive::Interactive;

/// The future of a method of [`Auth`].
pub type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuthError>> + Send + 'a>>;

/// Gives the credentials of each request.
///
/// ```
/// use corelane_client::{Auth, AuthError, AuthFuture, Challenge};
///
/// /// A token that another program renews.
/// struct FromFile(std::path::PathBuf);
///
/// impl Auth for FromFile {
///     fn header<'a>(&'a self, _server: &'a str) -> AuthFuture<'a, Option<String>> {
///         Box::pin(async {
///             let token = std::fs::read_to_string(&self.0);
///             let token = token.map_err(|error| AuthError(error.to_string()))?;
///             Ok(Some(format!("Bearer {}", token.trim())))
///         })
///     }
///
///     fn on_challenge<'a>(&'a self, _: &'a str, _: &'a Challenge) -> AuthFuture<'a, ()> {
///         Box::pin(async { Err(AuthError("the token is refused: renew it".to_owned())) })
///     }
/// }
/// ```
pub trait Auth: Send + Sync {
    /// The value of `Authorization` of a request to `server`; none to send it without.
    fn header<'a>(&'a self, server: &'a str) -> AuthFuture<'a, Option<String>>;

    /// Gets other credentials after a refusal; the request is then sent again, 3 times at most.
    fn on_challenge<'a>(&'a self, server: &'a str, challenge: &'a Challenge) -> AuthFuture<'a, ()>;
}
