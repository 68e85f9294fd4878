//! The credential with which this server requests an upstream.

use serde::Deserialize;
use url::Url;

use super::Value;
use super::fault::Fault;
use super::target::Target;

/// The credential with which this server requests an upstream. It is the server's own, or one that
/// was exchanged for a client's: that of a client itself never goes to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A token in the field `Authorization`.
    Bearer(Value),
    /// The value of a field, whose name is in lower case.
    Header(Box<str>, Value),
    /// An access token of an authorization server (RFC 6749 4.4).
    ClientCredentials(Box<ServiceAccount>),
    /// For the call of a client, the token for which an authorization server exchanges the
    /// client's own (RFC 8693). The server requests the lists with a token for itself.
    TokenExchange(Box<ServiceAccount>, Option<Box<str>>),
}

/// The identity of this server at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its id.
    pub client_id: Box<str>,
    /// The proof of its identity.
    pub proof: Proof,
    /// The scopes to request; without any, those that the upstream names.
    pub scopes: Vec<Box<str>>,
    /// Where tokens are requested; without it, the authorization server that the upstream names is
    /// found (RFC 9728, RFC 8414).
    pub token_url: Option<Url>,
}

/// The proof of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A secret.
    Secret(Value),
    /// A private key in PEM (RFC 7523).
    PrivateKey(Value),
}

impl Credential {
    /// The name of the field that has it, in lower case.
    pub fn field(&self) -> &str {
        match self {
            Credential::Header(name, _) => name,
            Credential::Bearer(_)
            | Credential::ClientCredentials(_)
            | Credential::TokenExchange(..) => "authorization",
        }
    }

    /// The places of its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Value> {
        let secret = match self {
            Credential::Bearer(value) | Credential::Header(_, value) => value,
            Credential::ClientCredentials(account) | Credential::TokenExchange(account, _) => {
                match &account.proof {
                    Proof::Secret(value) | Proof::PrivateKey(value) => value,
                }
            }
        };
        std::iter::once(secret)
    }

    /// Its account at an authorization server, if it has one.
    pub fn account(&self) -> Option<&ServiceAccount> {
        match self {
            Credential::Bearer(_) | Credential::Header(..) => None,
            Credential::ClientCredentials(account) | Credential::TokenExchange(account, _) => {
                Some(account)
            }
        }
    }
}

/// The text of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum CredentialText {
    None {},
    Bearer {
        token: String,
    },
    Header {
        name: String,
        value: String,
    },
    ClientCredentials {
        client_id: String,
        client_secret: Option<String>,
        private_key: Option<String>,
        #[serde(default)]
        scopes: Vec<String>,
        token_url: Option<String>,
    },
    TokenExchange {
        client_id: String,
        client_secret: Option<String>,
        private_key: Option<String>,
        #[serde(default)]
        scopes: Vec<String>,
        // The tokens of clients go there alone, so that it is never found out.
        token_url: String,
        audience: Option<String>,
    },
}

impl CredentialText {
    /// Checks it; `checked_name` checks the name of a field.
    pub(super) fn check(
        self,
        checked_name: impl Fn(String) -> Result<Box<str>, Fault>,
    ) -> Result<Option<Credential>, Fault> {
        Ok(Some(match self {
            CredentialText::None {} => return Ok(None),
            CredentialText::Bearer { token } => Credential::Bearer(secret("token", token)?),
            CredentialText::Header { name, value } => {
                let name = checked_name(name)?;
                let value = secret(&name, value)?;
                Credential::Header(name, value)
            }
            CredentialText::ClientCredentials {
                client_id,
                client_secret,
                private_key,
                scopes,
                token_url,
            } => {
                let proof = proof(client_secret, private_key)?;
                Credential::ClientCredentials(Box::new(ServiceAccount {
                    client_id: client_id.into(),
                    proof,
                    scopes: scopes.into_iter().map(String::into_boxed_str).collect(),
                    token_url: token_url.map(|url| token_endpoint(&url)).transpose()?,
                }))
            }
            CredentialText::TokenExchange {
                client_id,
                client_secret,
                private_key,
                scopes,
                token_url,
                audience,
            } => {
                let account = ServiceAccount {
                    client_id: client_id.into(),
                    proof: proof(client_secret, private_key)?,
                    scopes: scopes.into_iter().map(String::into_boxed_str).collect(),
                    token_url: Some(token_endpoint(&token_url)?),
                };
                Credential::TokenExchange(Box::new(account), audience.map(String::into_boxed_str))
            }
        }))
    }
}

/// A secret that stands elsewhere.
fn secret(name: &str, text: String) -> Result<Value, Fault> {
    match Value::parse(&text) {
        Value::Plain(_) => Err(Fault::InlineSecret(name.to_owned())),
        value => Ok(value),
    }
}

/// The one proof of an identity.
fn proof(client_secret: Option<String>, private_key: Option<String>) -> Result<Proof, Fault> {
    match (client_secret, private_key) {
        (Some(text), None) => Ok(Proof::Secret(secret("client_secret", text)?)),
        (None, Some(text)) => Ok(Proof::PrivateKey(secret("private_key", text)?)),
        _ => Err(Fault::Proof),
    }
}

/// The URL of a token endpoint, which is secure.
fn token_endpoint(text: &str) -> Result<Url, Fault> {
    match Target::parse(text, false)? {
        Target::Http { url, is_sse: false } => Ok(url),
        _ => Err(Fault::TokenUrl(text.to_owned())),
    }
}
