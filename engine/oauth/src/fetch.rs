//! Requests to authorization servers.
//!
//! Only `https` is used, and `http` on loopback; redirections are not followed. A host that is an
//! address of a private network is refused unless the MCP server is such a host itself.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use serde_json::Value;

use crate::AuthError;

/// The longest time of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Fetcher(Client);

impl Fetcher {
    /// A client that follows no redirection and uses no proxy.
    ///
    /// # Errors
    /// The certificates of the system cannot be read.
    pub fn new() -> Result<Fetcher, AuthError> {
        // The first provider of the process stays, if there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .build();
        let client = client.map_err(|error| AuthError(error.to_string()))?;
        Ok(Fetcher(client))
    }

    /// The JSON at `url`; none for a status that is not 200.
    ///
    /// # Errors
    /// There is no answer in time, or it is too long.
    pub async fn document(&self, url: &Url) -> Result<Option<Value>, AuthError> {
        let request = self.0.get(url.clone()).header("Accept", "application/json");
        let (status, body) = send(url, request).await?;
        Ok(body.filter(|_| status == 200))
    }

    /// Posts JSON. Returns the status and the JSON of the answer, if it is JSON.
    ///
    /// # Errors
    /// As for [`Fetcher::document`].
    pub async fn post_json(
        &self,
        url: &Url,
        body: &Value,
    ) -> Result<(u16, Option<Value>), AuthError> {
        let request = self.0.post(url.clone());
        let request = request.header("Content-Type", "application/json");
        send(url, request.body(body.to_string())).await
    }

    /// Posts a form, with `Authorization` if it is given. Returns as [`Fetcher::post_json`] does.
    ///
    /// # Errors
    /// As for [`Fetcher::document`].
    pub async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authorization: Option<String>,
    ) -> Result<(u16, Option<Value>), AuthError> {
        let mut request = self.0.post(url.clone());
        request = request.header("Content-Type", "application/x-www-form-urlencoded");
        request = request.header("Accept", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        send(url, request.body(form_of(form))).await
    }
}

/// A URL for people: without its query, which may be a credential.
pub fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Pairs in the encoding of forms (WHATWG URL 5.2).
pub fn form_of(pairs: &[(&str, &str)]) -> String {
    let encoded = Url::parse_with_params("http://localhost", pairs);
    let query = encoded.ok().and_then(|url| url.query().map(str::to_owned));
    query.unwrap_or_default()
}

async fn send(url: &Url, request: RequestBuilder) -> Result<(u16, Option<Value>), AuthError> {
    let failed = |reason: &dyn std::fmt::Display| {
        let origin = url.origin().ascii_serialization();
        AuthError(format!("{origin} does not answer: {reason}"))
    };
    let mut response = request
        .send()
        .await
        .map_err(|error| failed(&error.without_url()))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    loop {
        let piece = response
            .chunk()
            .await
            .map_err(|error| failed(&error.without_url()))?;
        let Some(piece) = piece else { break };
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(failed(&"the answer is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, serde_json::from_slice(&body).ok()))
}

/// Reads the URL of an authorization server that `server` leads to.
///
/// # Errors
/// It is no URL, not secure, or leads from a public server to a private network.
pub fn safe_url(text: &str, server: &Url) -> Result<Url, AuthError> {
    let refused = |reason: &str| AuthError(format!("URL {text:?} is refused: {reason}"));
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    let is_local = is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if is_local => {}
        _ => return Err(refused("only https is used, and http on loopback")),
    }
    if is_private(&url) && !is_private(server) {
        return Err(refused("a public server leads to a private network"));
    }
    Ok(url)
}

fn address_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn is_loopback(url: &Url) -> bool {
    match address_of(url) {
        Some(address) => address.is_loopback(),
        None => url
            .host_str()
            .is_some_and(|host| host == "localhost" || host.ends_with(".localhost")),
    }
}

fn is_private(url: &Url) -> bool {
    if is_loopback(url) {
        return true;
    }
    match address_of(url) {
        Some(IpAddr::V4(address)) => {
            address.is_private() || address.is_link_local() || address.is_unspecified()
        }
        Some(IpAddr::V6(address)) => {
            address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.to_ipv4_mapped().is_some()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{form_of, safe_url};
    use reqwest::Url;

    #[test]
    fn urls_that_leave_the_public_network_or_https_are_refused() {
        for (server, text, is_safe) in [
            ("https://mcp.example.com", "https://as.example.com", true),
            ("https://mcp.example.com", "http://as.example.com", false),
            ("https://mcp.example.com", "http://localhost:1", false),
            ("https://mcp.example.com", "https://127.0.0.1", false),
            ("https://mcp.example.com", "https://10.0.0.1", false),
            ("https://mcp.example.com", "https://169.254.169.254", false),
            ("https://mcp.example.com", "https://2130706433", false),
            ("https://mcp.example.com", "https://[::1]", false),
            (
                "https://mcp.example.com",
                "https://[::ffff:10.0.0.1]",
                false,
            ),
            ("https://mcp.example.com", "file:///etc/passwd", false),
            ("https://mcp.example.com", "javascript:alert(1)", false),
            ("http://127.0.0.1:1", "http://localhost:2", true),
            ("http://localhost:1", "http://10.0.0.1", false),
            ("http://10.0.0.1", "https://10.0.0.2", true),
        ] {
            let found = safe_url(text, &Url::parse(server).unwrap());
            assert_eq!(found.is_ok(), is_safe, "{server} {text}: {found:?}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            form_of(&[("a", "b c&d=e"), ("f", "\u{e9}")]),
            "a=b+c%26d%3De&f=%C3%A9"
        );
    }
}
