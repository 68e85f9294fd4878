//! Access tokens that a program gets for itself (RFC 6749 4.4; MCP extension "OAuth Client
//! Credentials").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

use crate::assertion::{self, PrivateKey};
use crate::discovery::{Discovered, IssuerMetadata, discover};
use crate::fetch::Fetcher;
use crate::token::{self, Registered, Token, TokenError};
use crate::{AuthError, Challenge};

/// A program with an identity of its own at an authorization server.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its identity.
    pub client: Registered,
    /// Its private key, if it has no secret.
    pub key: Option<PrivateKey>,
    /// The scopes to request, separated by spaces; those of the challenge or of the resource if it
    /// is not set.
    pub scope: Option<String>,
    /// Where tokens are requested; the authorization server that the MCP server names if it is not
    /// set.
    pub token_endpoint: Option<Url>,
    /// The authorization server that was found for the last token.
    pub found: Found,
}

/// The authorization server of an MCP server, once it was found. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Found(Arc<Mutex<Option<(Url, Instant, Discovered)>>>);

/// How long an authorization server that was found is used.
const FOUND_TIME: Duration = Duration::from_secs(3600);

impl Found {
    /// That of this MCP server, if it was found a while ago at most.
    fn of(&self, server: &Url) -> Option<Discovered> {
        let found = self.lock();
        let (of, at, discovered) = found.as_ref()?;
        (of == server && at.elapsed() < FOUND_TIME).then(|| discovered.clone())
    }

    fn keep(&self, server: &Url, discovered: &Discovered) {
        *self.lock() = Some((server.clone(), Instant::now(), discovered.clone()));
    }

    /// It is found again for the next token: a token of it was refused, or it does not answer.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Url, Instant, Discovered)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Gets a token for the MCP server at `server`, which may have refused a request with
    /// `challenge`.
    ///
    /// # Errors
    /// There is no authorization server, it refuses, or it does not answer.
    pub async fn grant(&self, server: &Url, challenge: &Challenge) -> Result<Token, TokenError> {
        let fetcher = Fetcher::new().map_err(TokenError::Unavailable)?;
        let (issuer, resource, scopes) = match &self.token_endpoint {
            Some(endpoint) => (fixed(endpoint), server.to_string(), None),
            None => {
                // A refusal may come from another authorization server.
                let found = self.found.of(server);
                let discovered = match found.filter(|_| *challenge == Challenge::default()) {
                    Some(found) => found,
                    None => {
                        let discovered = discover(&fetcher, server, challenge).await;
                        let discovered = discovered.map_err(TokenError::Unavailable)?;
                        self.found.keep(server, &discovered);
                        discovered
                    }
                };
                let scopes = discovered.resource.scopes_supported;
                let scopes = scopes.map(|scopes| scopes.join(" "));
                (discovered.issuer, discovered.resource.resource, scopes)
            }
        };
        let scope = self.scope.clone().or(challenge.scope.clone()).or(scopes);
        let mut grant = vec![
            ("grant_type", "client_credentials"),
            ("resource", &resource),
        ];
        if let Some(scope) = &scope {
            grant.push(("scope", scope));
        }
        let token = self.request(&fetcher, (server, &issuer), grant).await;
        if token.is_err() {
            self.found.forget();
        }
        token
    }

    /// Requests a token with a grant, and with the proof of its identity.
    pub(crate) async fn request(
        &self,
        fetcher: &Fetcher,
        (server, issuer): (&Url, &IssuerMetadata),
        mut grant: Vec<(&str, &str)>,
    ) -> Result<Token, TokenError> {
        let client_id = &self.client.client_id;
        let assertion = self.key.as_ref();
        let assertion = assertion.map(|key| key.assertion(client_id, &issuer.issuer));
        let assertion = assertion.transpose().map_err(TokenError::Unavailable)?;
        if let Some(assertion) = &assertion {
            grant.push(("client_assertion_type", assertion::TYPE));
            grant.push(("client_assertion", assertion));
        }
        token::request(fetcher, (server, issuer), &self.client, &grant).await
    }

    /// The same on this thread, which waits.
    ///
    /// # Errors
    /// As for [`Service::grant`].
    pub fn grant_blocking(&self, server: &Url, challenge: &Challenge) -> Result<Token, TokenError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| TokenError::Unavailable(AuthError(error.to_string())))?;
        runtime.block_on(self.grant(server, challenge))
    }
}

/// The part of an authorization server that is known of its token endpoint alone.
pub(crate) fn fixed(endpoint: &Url) -> IssuerMetadata {
    IssuerMetadata {
        issuer: endpoint.origin().ascii_serialization(),
        authorization_endpoint: String::new(),
        token_endpoint: endpoint.to_string(),
        registration_endpoint: None,
        scopes_supported: Vec::new(),
        code_challenge_methods_supported: Vec::new(),
        token_endpoint_auth_methods_supported: Vec::new(),
        client_id_metadata_document_supported: false,
        authorization_response_iss_parameter_supported: false,
    }
}
