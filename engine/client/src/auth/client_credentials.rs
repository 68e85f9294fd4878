//! Access tokens that a program gets for itself (RFC 6749 4.4; MCP extension "OAuth Client
//! Credentials").

use reqwest::Url;
use tokio::sync::Mutex;

use corelane_oauth::assertion::PrivateKey;
use corelane_oauth::service::{Found, Service};
use corelane_oauth::token::{Registered, Token};

use super::{Auth, AuthError, AuthFuture, Challenge};

/// Access tokens for the program itself, by its id and secret or private key.
///
/// ```no_run
/// use corelane_client::{Client, ClientCredentials};
///
/// # async fn run(secret: &str) -> Result<(), corelane_client::Error> {
/// let auth = ClientCredentials::new("job", secret);
/// let client = Client::builder().auth(auth).connect("https://example.com/mcp").await?;
/// # Ok(())
/// # }
/// ```
pub struct ClientCredentials {
    service: Service,
    token: Mutex<Option<Token>>,
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ClientCredentials")
            .finish_non_exhaustive()
    }
}

impl ClientCredentials {
    /// The id and the secret of the program at its authorization server.
    #[must_use]
    pub fn new(client_id: &str, secret: &str) -> ClientCredentials {
        ClientCredentials::of(client_id, Some(secret.to_owned()), None)
    }

    /// The id of the program, and the private key in PEM that its authorization server knows the
    /// public key of: RSA, P-256, P-384 or Ed25519 (RFC 7523).
    ///
    /// # Errors
    /// It is no such key.
    pub fn with_private_key(client_id: &str, pem: &str) -> Result<ClientCredentials, AuthError> {
        let key = PrivateKey::from_pem(pem)?;
        Ok(ClientCredentials::of(client_id, None, Some(key)))
    }

    fn of(client_id: &str, secret: Option<String>, key: Option<PrivateKey>) -> ClientCredentials {
        ClientCredentials {
            service: Service {
                client: Registered {
                    client_id: client_id.to_owned(),
                    secret,
                    method: None,
                },
                key,
                scope: None,
                token_endpoint: None,
                found: Found::default(),
            },
            token: Mutex::new(None),
        }
    }

    /// The scopes to request, separated by spaces; those of the challenge or of the resource if
    /// this is not called.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> ClientCredentials {
        self.service.scope = Some(scope.to_owned());
        self
    }

    async fn grant(&self, server: &str, challenge: &Challenge) -> Result<Token, AuthError> {
        let server = Url::parse(server).map_err(|error| AuthError(error.to_string()))?;
        Ok(self.service.grant(&server, challenge).await?)
    }
}

impl Auth for ClientCredentials {
    fn header<'a>(&'a self, _server: &'a str) -> AuthFuture<'a, Option<String>> {
        Box::pin(async move {
            let token = self.token.lock().await;
            Ok(token.as_ref().map(Token::header))
        })
    }

    fn on_challenge<'a>(&'a self, server: &'a str, challenge: &'a Challenge) -> AuthFuture<'a, ()> {
        Box::pin(async move {
            let mut token = self.token.lock().await;
            let current = token.as_ref().map(Token::header);
            if current.is_some() && current != challenge.refused {
                return Ok(());
            }
            *token = Some(self.grant(server, challenge).await?);
            Ok(())
        })
    }
}
