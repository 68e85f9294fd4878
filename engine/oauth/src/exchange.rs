//! Access tokens for which an authorization server exchanges those of others (RFC 8693).
//!
//! A token of somebody else goes to the token endpoint that is configured, and nowhere else: none
//! is found out here. It is overwritten in memory when its exchange is over.

use std::sync::Arc;
use std::thread;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::AuthError;
use crate::fetch::Fetcher;
use crate::service::{Service, fixed};
use crate::token::{Token, TokenError};

/// The value of `grant_type` (RFC 8693 2.1).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of an access token (RFC 8693 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The type of a signed token, which access tokens are too.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Exchanges that are under way at once; the others wait.
const EXCHANGES_MAX: usize = 32;

/// What tokens are exchanged for.
#[derive(Debug)]
pub struct Exchange {
    /// The identity that requests it. It has a token endpoint.
    pub service: Service,
    /// The MCP server that the token is for.
    pub server: Url,
    /// The name of the server at the authorization server, if it is not its URL.
    pub audience: Option<String>,
}

impl Exchange {
    /// Exchanges the access token of somebody else for one for the server.
    ///
    /// # Errors
    /// The authorization server refuses it, or does not answer.
    pub async fn exchange(
        &self,
        fetcher: &Fetcher,
        subject: &SecretString,
    ) -> Result<Token, TokenError> {
        let refused = |text: &str| TokenError::Refused(AuthError(text.to_owned()));
        let Some(endpoint) = &self.service.token_endpoint else {
            return Err(refused("tokens are exchanged only where token_url says"));
        };
        let mut grant = vec![
            ("grant_type", GRANT_TYPE),
            ("subject_token", subject.expose_secret()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        grant.push(match &self.audience {
            Some(audience) => ("audience", audience),
            None => ("resource", self.server.as_str()),
        });
        if let Some(scope) = &self.service.scope {
            grant.push(("scope", scope));
        }
        let issuer = fixed(endpoint);
        let to = (&self.server, &issuer);
        let token = self.service.request(fetcher, to, grant).await?;
        // A token of another type is none that a server takes.
        match token.issued_type.as_deref() {
            Some(ACCESS_TOKEN | JWT) => Ok(token),
            _ => Err(refused("the answer to an exchange is no access token")),
        }
    }
}

/// Called with the result of an exchange.
pub type OnExchanged = Box<dyn FnOnce(Result<Token, TokenError>) + Send>;

/// Exchanges tokens on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Exchanger(UnboundedSender<Job>);

struct Job {
    exchange: Arc<Exchange>,
    subject: SecretString,
    on_exchanged: OnExchanged,
}

impl Exchanger {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start() -> std::io::Result<Exchanger> {
        let (sender, jobs) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("exchange".to_owned());
        thread.spawn(move || runtime.block_on(run(jobs)))?;
        Ok(Exchanger(sender))
    }

    /// Exchanges a token. The caller bounds how many wait.
    pub fn request(
        &self,
        exchange: Arc<Exchange>,
        subject: SecretString,
        on_exchanged: OnExchanged,
    ) {
        // Without its thread the job is dropped, and its end is that of `on_exchanged`.
        let _ = self.0.send(Job {
            exchange,
            subject,
            on_exchanged,
        });
    }
}

async fn run(mut jobs: UnboundedReceiver<Job>) {
    let fetcher = Fetcher::new();
    let places = Arc::new(Semaphore::new(EXCHANGES_MAX));
    while let Some(job) = jobs.recv().await {
        let (fetcher, places) = (fetcher.clone(), Arc::clone(&places));
        tokio::spawn(async move {
            let _place = places.acquire().await;
            let result = match &fetcher {
                Ok(fetcher) => job.exchange.exchange(fetcher, &job.subject).await,
                Err(error) => Err(TokenError::Unavailable(error.clone())),
            };
            (job.on_exchanged)(result);
        });
    }
}
