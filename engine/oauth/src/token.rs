//! Requests of tokens (RFC 6749 4 and 6, RFC 8707).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AuthError;
use crate::discovery::IssuerMetadata;
use crate::fetch::{Fetcher, form_of, safe_url, shown};

/// How many seconds before its end a token is renewed.
const EXPIRY_MARGIN_S: u64 = 30;

/// A client as an authorization server knows it. Its `Debug` shows no secret.
#[derive(Clone, Deserialize, Serialize)]
pub struct Registered {
    /// Its id.
    pub client_id: String,
    /// Its secret, if it has one.
    #[serde(rename = "client_secret")]
    pub secret: Option<String>,
    /// How the secret is sent, if the server decided it.
    #[serde(rename = "token_endpoint_auth_method")]
    pub method: Option<String>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registered")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// An access token. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    access: String,
    /// With which another token is requested, if there is one.
    pub refresh: Option<String>,
    /// Seconds since 1970.
    expires_at_s: Option<u64>,
    /// Its type, if it was exchanged for another one (RFC 8693 2.2.1).
    #[serde(skip)]
    pub(crate) issued_type: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Token")
            .field("expires_at_s", &self.expires_at_s)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// The value of `Authorization`.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.access)
    }

    /// How many seconds it is valid from now on, if its server says that.
    pub fn lifetime_s(&self) -> Option<u64> {
        let expires_at_s = self.expires_at_s?;
        Some(expires_at_s.saturating_sub(now_s()))
    }

    /// Whether it ends soon.
    pub fn is_old(&self) -> bool {
        let soon_s = now_s() + EXPIRY_MARGIN_S;
        self.expires_at_s
            .is_some_and(|expires_at_s| expires_at_s <= soon_s)
    }
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The authorization server refuses the grant: it is of no use any more.
    Refused(AuthError),
    /// It did not answer, or failed itself; nothing is known of the grant.
    Unavailable(AuthError),
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> AuthError {
        match error {
            TokenError::Refused(error) | TokenError::Unavailable(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    issued_token_type: Option<String>,
}

/// Exchanges a grant for a token. `server` is the MCP server that led to the issuer.
///
/// # Errors
/// The authorization server refuses it, or does not answer.
pub async fn request(
    fetcher: &Fetcher,
    (server, issuer): (&Url, &IssuerMetadata),
    client: &Registered,
    grant: &[(&str, &str)],
) -> Result<Token, TokenError> {
    let endpoint = safe_url(&issuer.token_endpoint, server).map_err(TokenError::Refused)?;
    let mut form = grant.to_vec();
    let method = auth_method(client, &issuer.token_endpoint_auth_methods_supported);
    let mut authorization = None;
    match (method, &client.secret) {
        ("client_secret_basic", Some(secret)) => {
            authorization = Some(basic(&client.client_id, secret));
        }
        ("client_secret_post", Some(secret)) => {
            form.push(("client_id", &client.client_id));
            form.push(("client_secret", secret));
        }
        _ => form.push(("client_id", &client.client_id)),
    }
    let sent = fetcher.post_form(&endpoint, &form, authorization).await;
    let (status, answer) = sent.map_err(TokenError::Unavailable)?;
    let failed = |reason: String| {
        AuthError(format!(
            "{} gives no token: {reason}",
            shown(endpoint.as_str())
        ))
    };
    if status != 200 {
        let error = answer
            .as_ref()
            .and_then(|answer| error_code(answer, client));
        let reason = failed(format!("status {status}, {}", error.unwrap_or("no reason")));
        return Err(match status {
            400 | 401 | 403 => TokenError::Refused(reason),
            _ => TokenError::Unavailable(reason),
        });
    }
    let answer = answer.and_then(|answer| serde_json::from_value::<Answer>(answer).ok());
    let answer = answer.filter(|answer| answer.token_type.eq_ignore_ascii_case("bearer"));
    let answer = answer.ok_or_else(|| {
        TokenError::Unavailable(failed("the answer is no bearer token".to_owned()))
    })?;
    let lifetime_s = answer.expires_in;
    Ok(Token {
        access: answer.access_token,
        refresh: answer.refresh_token,
        expires_at_s: lifetime_s.map(|lifetime_s| now_s().saturating_add(lifetime_s)),
        issued_type: answer.issued_token_type,
    })
}

/// The code of an error (RFC 6749 5.2), unless it repeats the secret or is a text of its own.
fn error_code<'a>(answer: &'a Value, client: &Registered) -> Option<&'a str> {
    /// The longest code, in bytes.
    const CODE_BYTES_MAX: usize = 64;
    let code = answer.get("error")?.as_str()?;
    let is_code = code.len() <= CODE_BYTES_MAX
        && code.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    let has_secret = |secret: &String| code.contains(&**secret);
    (is_code && !client.secret.as_ref().is_some_and(has_secret)).then_some(code)
}

/// How the client proves its identity. Without a list, a server has `client_secret_basic` (RFC 8414
/// 2).
fn auth_method<'a>(client: &'a Registered, supported: &'a [String]) -> &'a str {
    let has = |name: &str| supported.iter().any(|method| method == name);
    match (&client.secret, client.method.as_deref()) {
        (None, _) => "none",
        (Some(_), Some(method)) if method != "none" && (supported.is_empty() || has(method)) => {
            method
        }
        _ if supported.is_empty() || has("client_secret_basic") => "client_secret_basic",
        _ if has("client_secret_post") => "client_secret_post",
        _ => "none",
    }
}

/// RFC 6749 2.3.1: both parts are encoded as in a form.
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| form_of(&[("", text)]).trim_start_matches('=').to_owned();
    let credentials = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", STANDARD.encode(credentials))
}

#[cfg(test)]
mod tests {
    use super::{Registered, auth_method, basic};

    #[test]
    fn the_secret_is_sent_as_the_server_wants_it() {
        for (secret, method, supported, expected) in [
            (None, None, &["client_secret_basic"][..], "none"),
            (Some("s"), None, &[], "client_secret_basic"),
            (
                Some("s"),
                None,
                &["client_secret_post"],
                "client_secret_post",
            ),
            (
                Some("s"),
                None,
                &["client_secret_post", "client_secret_basic"],
                "client_secret_basic",
            ),
            (Some("s"), None, &["none"], "none"),
            (
                Some("s"),
                Some("client_secret_post"),
                &[],
                "client_secret_post",
            ),
            (
                Some("s"),
                Some("client_secret_post"),
                &["client_secret_basic"],
                "client_secret_basic",
            ),
            (
                Some("s"),
                Some("none"),
                &["client_secret_post"],
                "client_secret_post",
            ),
        ] {
            let client = Registered {
                client_id: "c".to_owned(),
                secret: secret.map(str::to_owned),
                method: method.map(str::to_owned),
            };
            let supported: Vec<String> = supported.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(
                auth_method(&client, &supported),
                expected,
                "{method:?} {supported:?}"
            );
        }
        assert_eq!(basic("a", "b"), "Basic YTpi");
        assert_eq!(basic("a:", "b c"), "Basic YSUzQTpiK2M=");
    }
}
