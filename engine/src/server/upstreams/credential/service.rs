//! An authorization server as the source of a credential.

#[cfg(feature = "auth")]
use std::sync::Arc;
#[cfg(feature = "auth")]
use std::time::Duration;

#[cfg(feature = "auth")]
use corelane_gateway::config::{Proof, Target};
use corelane_gateway::config::{ServiceAccount, Upstream};
#[cfg(feature = "auth")]
use corelane_oauth::assertion::PrivateKey;
#[cfg(feature = "auth")]
use corelane_oauth::exchange::Exchange;
#[cfg(feature = "auth")]
use corelane_oauth::service::{Found, Service};
#[cfg(feature = "auth")]
use corelane_oauth::token::{Registered, Token, TokenError};
#[cfg(feature = "auth")]
use corelane_oauth::{Challenge, Url};

use crate::server::upstream_error::UpstreamError;
#[cfg(feature = "auth")]
use crate::server::upstreams::secret::secret;
use crate::upstream::board::{GrantFault, Granted};

/// The longest life of a token that counts: a year.
#[cfg(feature = "auth")]
const LIFE_S_MAX: u64 = 366 * 24 * 3600;

/// The identity of this server, and the upstream for which it requests tokens.
#[cfg(feature = "auth")]
#[derive(Clone)]
pub(in crate::server::upstreams) struct ServiceSource {
    service: Arc<Service>,
    server: Url,
}

/// The exchange of tokens of clients for an upstream.
#[cfg(feature = "auth")]
#[derive(Clone)]
pub(in crate::server::upstreams) struct ExchangeSource(
    pub(in crate::server::upstreams) Arc<Exchange>,
);

/// There is none in a build without the feature `auth`.
#[cfg(not(feature = "auth"))]
#[derive(Clone)]
pub(in crate::server::upstreams) struct ExchangeSource;

/// There is none in a build without the feature `auth`.
#[cfg(not(feature = "auth"))]
#[derive(Clone)]
pub(in crate::server::upstreams) struct ServiceSource;

#[cfg(feature = "auth")]
impl ServiceSource {
    /// The source for an upstream with this account.
    pub(super) fn of(
        upstream: &Upstream,
        account: &ServiceAccount,
    ) -> Result<ServiceSource, UpstreamError> {
        let fault = |error: String| UpstreamError::Credential {
            name: upstream.name.to_string(),
            error,
        };
        let server = upstream.targets.iter().find_map(|target| match target {
            Target::Http { url, .. } => Some(url.clone()),
            _ => None,
        });
        let server = server.ok_or_else(|| {
            fault("an access token needs an upstream with http or https".to_owned())
        })?;
        let read = |value| secret(value).map_err(|error| fault(error.to_string()));
        let (secret, key) = match &account.proof {
            Proof::Secret(value) => (Some(read(value)?), None),
            Proof::PrivateKey(value) => {
                let key = PrivateKey::from_pem(&read(value)?);
                (None, Some(key.map_err(|error| fault(error.to_string()))?))
            }
        };
        let scopes: Vec<&str> = account.scopes.iter().map(|scope| &**scope).collect();
        let service = Service {
            client: Registered {
                client_id: account.client_id.to_string(),
                secret,
                method: None,
            },
            key,
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            token_endpoint: account.token_url.clone(),
            found: Found::default(),
        };
        Ok(ServiceSource {
            service: Arc::new(service),
            server,
        })
    }

    /// Requests a token, which may take long.
    pub(in crate::server::upstreams) fn request(&self) -> Result<Granted, GrantFault> {
        let granted = self
            .service
            .grant_blocking(&self.server, &Challenge::default());
        granted_of(granted)
    }

    /// The upstream refuses a token: its authorization server may be another one by now.
    pub(super) fn find_again(&self) {
        self.service.found.forget();
    }

    /// The exchange of tokens of clients with the same identity.
    pub(super) fn exchange(&self, audience: Option<&str>) -> ExchangeSource {
        ExchangeSource(Arc::new(Exchange {
            service: Service::clone(&self.service),
            server: self.server.clone(),
            audience: audience.map(str::to_owned),
        }))
    }
}

/// The result of a request for a token.
#[cfg(feature = "auth")]
pub(in crate::server::upstreams) fn granted_of(
    granted: Result<Token, TokenError>,
) -> Result<Granted, GrantFault> {
    match granted {
        Ok(token) => Ok(Granted {
            value: token.header(),
            life: token
                .lifetime_s()
                .map(|life_s| Duration::from_secs(life_s.min(LIFE_S_MAX))),
        }),
        Err(error) => Err(GrantFault {
            is_refused: matches!(error, TokenError::Refused(_)),
            text: match error {
                TokenError::Refused(error) | TokenError::Unavailable(error) => error.to_string(),
            },
        }),
    }
}

#[cfg(not(feature = "auth"))]
impl ServiceSource {
    /// This build requests no tokens.
    pub(super) fn of(
        upstream: &Upstream,
        _: &ServiceAccount,
    ) -> Result<ServiceSource, UpstreamError> {
        Err(UpstreamError::Unsupported {
            name: upstream.name.to_string(),
            part: "a credential of an authorization server",
            remedy: "build with the feature auth",
        })
    }

    #[expect(clippy::unused_self, reason = "this build requests no tokens")]
    pub(super) fn find_again(&self) {}

    #[expect(clippy::unused_self, reason = "this build exchanges no tokens")]
    pub(super) fn exchange(&self, _: Option<&str>) -> ExchangeSource {
        ExchangeSource
    }

    pub(in crate::server::upstreams) fn request(&self) -> Result<Granted, GrantFault> {
        Err(GrantFault {
            is_refused: true,
            text: "this build requests no tokens".to_owned(),
        })
    }
}
