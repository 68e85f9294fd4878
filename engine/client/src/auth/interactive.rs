//! Access tokens that a user grants (MCP basic/authorization): authorization code with PKCE.
//!
//! One grant is made at a time, and requests that were refused meanwhile use its token. A refresh
//! that fails because the authorization server is away deletes nothing. Registrations are kept by
//! issuer: another issuer never gets the id or the secret of this one. With a file, all of that
//! outlives the process.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Url;
use tokio::sync::Mutex;

use corelane_oauth::discovery::{Discovered, IssuerMetadata, discover};
use corelane_oauth::fetch::{Fetcher, safe_url, shown};
use corelane_oauth::token::{self, Registered, Token, TokenError};

use super::authorization_url::{CodeParameters, CodeRequest};
use super::redirect::Loopback;
use super::registration::Identity;
use super::store::{Entry, FileStore};
use super::{Auth, AuthError, AuthFuture, Challenge};

type Redirected = Pin<Box<dyn Future<Output = Result<String, AuthError>> + Send>>;

/// How the user gets to the authorization server and back.
#[derive(Clone)]
enum Browser {
    /// There is no user: a grant is an error.
    Absent,
    /// The URL is shown; the user comes back to a loopback address.
    Shown(Arc<dyn Fn(&str) + Send + Sync>),
    /// The caller follows the URL, and returns the one that it leads back to.
    Followed {
        redirect_uri: String,
        follow: Arc<dyn Fn(String) -> Redirected + Send + Sync>,
    },
}

/// Access tokens that a user grants in a browser.
///
/// ```no_run
/// use corelane_client::{Client, Interactive};
///
/// # async fn run() -> Result<(), corelane_client::Error> {
/// let auth = Interactive::new("my-app", |url| println!("Open {url}"));
/// let client = Client::builder().auth(auth).connect("https://example.com/mcp").await?;
/// # Ok(())
/// # }
/// ```
pub struct Interactive {
    browser: Browser,
    identity: Identity,
    store: Option<FileStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fetcher: Option<Fetcher>,
    /// Whether the file was read.
    is_loaded: bool,
    discovered: Option<Discovered>,
    /// By issuer.
    clients: HashMap<String, Registered>,
    requested: BTreeSet<String>,
    token: Option<Token>,
}

impl std::fmt::Debug for Interactive {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Interactive")
            .finish_non_exhaustive()
    }
}

impl Interactive {
    /// Shows the URL to open to the user with `show`; nothing is opened. The user comes back to a
    /// loopback address of this machine.
    #[must_use]
    pub fn new(name: &str, show: impl Fn(&str) + Send + Sync + 'static) -> Interactive {
        Interactive::with(name, Browser::Shown(Arc::new(show)))
    }

    /// Gives the URL to `follow`, which returns the URL that it leads back to: one that starts with
    /// `redirect_uri`.
    #[must_use]
    pub fn following<F, A>(name: &str, redirect_uri: &str, follow: F) -> Interactive
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, AuthError>> + Send + 'static,
    {
        let browser = Browser::Followed {
            redirect_uri: redirect_uri.to_owned(),
            follow: Arc::new(move |url| Box::pin(follow(url))),
        };
        Interactive::with(name, browser)
    }

    /// The credentials of this file, without a user: a server that wants others is an error.
    #[must_use]
    pub fn stored(path: impl Into<PathBuf>) -> Interactive {
        Interactive::with("", Browser::Absent).keep_in(path)
    }

    /// Keeps the credentials in this file, which its owner alone may read.
    #[must_use]
    pub fn keep_in(mut self, path: impl Into<PathBuf>) -> Interactive {
        self.store = Some(FileStore(path.into()));
        self
    }

    /// Removes the credentials of the server at this URL from a file; whether there were any.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn forget(path: impl Into<PathBuf>, server: &str) -> Result<bool, AuthError> {
        FileStore(path.into()).remove(url_of(server)?.as_str())
    }

    /// Reads the credentials of the file, at first and when another process may have renewed them.
    fn load(&self, state: &mut State, server: &Url) -> Result<(), AuthError> {
        state.is_loaded = true;
        let entry = match &self.store {
            Some(store) => store.load(server.as_str())?,
            None => None,
        };
        if let Some(entry) = entry {
            let issuer = entry.discovered.issuer.issuer.clone();
            state.clients.insert(issuer, entry.client);
            state.discovered = Some(entry.discovered);
            state.token = entry.token;
            state.requested = entry.scopes;
        }
        Ok(())
    }

    /// Writes the credentials to the file.
    fn save(&self, state: &State, server: &Url) -> Result<(), AuthError> {
        let (Some(store), Some(discovered)) = (&self.store, &state.discovered) else {
            return Ok(());
        };
        let Some(client) = state.clients.get(&discovered.issuer.issuer) else {
            return Ok(());
        };
        store.save(Entry {
            server: server.to_string(),
            discovered: discovered.clone(),
            client: client.clone(),
            token: state.token.clone(),
            scopes: state.requested.clone(),
        })
    }

    /// Renews the token without the user; whether there is a new one.
    async fn refresh(&self, state: &mut State, server: &Url) -> Result<bool, AuthError> {
        let old = state.token.clone();
        self.load(state, server)?;
        if state.token.is_some() && state.token != old {
            return Ok(true);
        }
        let is_new = state.refresh(server).await?;
        if state.token != old {
            self.save(state, server)?;
        }
        Ok(is_new)
    }

    fn with(name: &str, browser: Browser) -> Interactive {
        let identity = Identity {
            name: name.to_owned(),
            ..Identity::default()
        };
        Interactive {
            browser,
            identity,
            store: None,
            state: Mutex::default(),
        }
    }

    /// The URL of the metadata document of this client, which is its id at each authorization
    /// server that supports such documents.
    #[must_use]
    pub fn metadata_url(mut self, url: &str) -> Interactive {
        self.identity.metadata_url = Some(url.to_owned());
        self
    }

    /// An id, and a secret if there is one, that this client was registered with before, at the
    /// first authorization server that the MCP server names.
    #[must_use]
    pub fn registered(mut self, client_id: &str, secret: Option<&str>) -> Interactive {
        self.identity.registered = Some(Registered {
            client_id: client_id.to_owned(),
            secret: secret.map(str::to_owned),
            method: None,
        });
        self
    }

    async fn grant(
        &self,
        state: &mut State,
        server: &Url,
        challenge: &Challenge,
    ) -> Result<(), AuthError> {
        let (loopback, redirect_uri) = match &self.browser {
            Browser::Followed { redirect_uri, .. } => (None, redirect_uri.clone()),
            Browser::Shown(_) => {
                let loopback = Loopback::bind().await?;
                let uri = loopback.uri().to_owned();
                (Some(loopback), uri)
            }
            Browser::Absent => {
                let server = shown(server.as_str());
                let fault = format!("no credentials that do are stored: log in to {server}");
                return Err(AuthError(fault));
            }
        };
        let fetcher = state.fetcher()?;
        let discovered = discover(&fetcher, server, challenge).await?;
        let (resource, issuer) = (&discovered.resource, &discovered.issuer);
        if !issuer.has_pkce() {
            let name = &issuer.issuer;
            return Err(AuthError(format!("{name} does not support PKCE with S256")));
        }
        let of_issuer = (server, issuer);
        let client = self
            .client(state, &fetcher, of_issuer, &redirect_uri)
            .await?;
        let scopes = super::scopes::select(
            challenge.scope.as_deref(),
            resource.scopes_supported.as_deref(),
            &state.requested,
            &issuer.scopes_supported,
        );
        let scope: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let request = CodeRequest::new(CodeParameters {
            endpoint: safe_url(&issuer.authorization_endpoint, server)?,
            issuer: &issuer.issuer,
            names_issuer: issuer.authorization_response_iss_parameter_supported,
            client_id: &client.client_id,
            redirect_uri: &redirect_uri,
            resource: &resource.resource,
            scope: &scope.join(" "),
        })?;
        let redirected = match (&self.browser, loopback) {
            (Browser::Followed { follow, .. }, _) => follow(request.url.to_string()).await?,
            (Browser::Shown(show), Some(loopback)) => {
                show(request.url.as_str());
                loopback.redirected().await?
            }
            (Browser::Shown(_), None) | (Browser::Absent, _) => {
                return Err(AuthError("no loopback address".to_owned()));
            }
        };
        let code = request.code(&redirected)?;
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", &request.verifier),
            ("resource", &resource.resource),
        ];
        let token = token::request(&fetcher, of_issuer, &client, &grant).await?;
        state.token = Some(token);
        state.requested = scopes;
        state.discovered = Some(discovered);
        self.save(state, server)
    }

    /// The client at an issuer. A registration made before is of the first issuer alone. The
    /// loopback address differs from grant to grant, which RFC 8252 7.3 lets servers accept.
    async fn client(
        &self,
        state: &mut State,
        fetcher: &Fetcher,
        (server, issuer): (&Url, &IssuerMetadata),
        redirect_uri: &str,
    ) -> Result<Registered, AuthError> {
        if let Some(known) = state.clients.get(&issuer.issuer) {
            return Ok(known.clone());
        }
        let registered = match &self.identity.registered {
            Some(registered) if state.clients.is_empty() => registered.clone(),
            _ => {
                let identity = &self.identity;
                identity
                    .register(fetcher, (server, issuer), redirect_uri)
                    .await?
            }
        };
        state
            .clients
            .insert(issuer.issuer.clone(), registered.clone());
        Ok(registered)
    }
}

impl State {
    fn fetcher(&mut self) -> Result<Fetcher, AuthError> {
        if self.fetcher.is_none() {
            self.fetcher = Some(Fetcher::new()?);
        }
        let fetcher = self.fetcher.clone();
        fetcher.ok_or_else(|| AuthError("no HTTP client".to_owned()))
    }

    /// Exchanges the refresh token; whether there is a new one.
    async fn refresh(&mut self, server: &Url) -> Result<bool, AuthError> {
        let fetcher = self.fetcher()?;
        let (Some(token), Some(discovered)) = (&self.token, &self.discovered) else {
            return Ok(false);
        };
        let issuer = &discovered.issuer;
        let (Some(refresh), Some(client)) = (&token.refresh, self.clients.get(&issuer.issuer))
        else {
            return Ok(false);
        };
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
            ("resource", discovered.resource.resource.as_str()),
        ];
        match token::request(&fetcher, (server, issuer), client, &grant).await {
            Ok(mut renewed) => {
                // A server may keep the refresh token (RFC 6749 6).
                renewed.refresh = renewed.refresh.or_else(|| token.refresh.clone());
                self.token = Some(renewed);
                Ok(true)
            }
            Err(TokenError::Refused(_)) => {
                self.token = None;
                Ok(false)
            }
            Err(TokenError::Unavailable(error)) => Err(error),
        }
    }
}

fn url_of(server: &str) -> Result<Url, AuthError> {
    Url::parse(server).map_err(|error| AuthError(error.to_string()))
}

impl Auth for Interactive {
    fn header<'a>(&'a self, server: &'a str) -> AuthFuture<'a, Option<String>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let server = url_of(server)?;
            if !state.is_loaded {
                self.load(&mut state, &server)?;
            }
            if state.token.as_ref().is_some_and(Token::is_old) {
                // The old token may still do while the authorization server is away.
                let _ = self.refresh(&mut state, &server).await;
            }
            Ok(state.token.as_ref().map(Token::header))
        })
    }

    fn on_challenge<'a>(&'a self, server: &'a str, challenge: &'a Challenge) -> AuthFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let current = state.token.as_ref().map(Token::header);
            if current.is_some() && current != challenge.refused {
                return Ok(());
            }
            let server = url_of(server)?;
            match challenge.status {
                403 if challenge.error.as_deref() != Some("insufficient_scope") => {
                    let server = shown(server.as_str());
                    let fault = format!("{server} forbids it, with any scope");
                    return Err(AuthError(fault));
                }
                401 if self.refresh(&mut state, &server).await? => return Ok(()),
                _ => {}
            }
            self.grant(&mut state, &server, challenge).await
        })
    }
}
