//! Requests to issuers: their metadata, their keys and introspections.
//!
//! A request goes to the URL of its target and nowhere else: redirects are not followed, proxies of
//! the environment are not used, and each address that a name resolves to is checked before a
//! connection is made to it, so that the check and the connection have one answer. Each request has
//! a deadline, and each answer a bound, which is kept while the answer is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use crate::address::Reach;

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time for a whole request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A URL, and the addresses that it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL.
    pub url: Url,
    /// The addresses.
    pub reach: Reach,
}

impl Target {
    /// Whether the host of the URL is a name, or an address that is allowed.
    pub fn has_allowed_host(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        // A URL has each form of an IPv4 address, such as 2130706433, in the usual one.
        match host.parse() {
            Ok(address) => self.reach.allows(address),
            Err(_) => !host.is_empty(),
        }
    }
}

/// An answer with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The content.
    pub body: Vec<u8>,
    /// `max-age` of the field `Cache-Control`, in seconds; 0 if it must not be kept.
    pub max_age_s: Option<u64>,
    /// The field `Date`, in seconds since 1970.
    pub date_s: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address is refused.
    #[error("the host has no address that is allowed")]
    Address,
    /// Another status than 200. Redirects are not followed.
    #[error("the status is {0}, and only 200 is taken; redirects are not followed")]
    Status(u16),
    /// Too long.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// No answer in time.
    #[error("there was no whole answer in time")]
    Timeout,
    /// No connection, or a broken one.
    #[error("{0}")]
    Transport(String),
}

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> LookupFuture + Send + Sync>;
/// The addresses of a name, later.
pub type LookupFuture =
    std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// The look-up of the system.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// A client for each reach, so that none uses a connection of another.
    clients: [(Reach, Client); 3],
}

impl Fetcher {
    /// Requests with these certificates of authorities, in PEM, besides those of the system.
    ///
    /// # Errors
    /// The certificates of the system cannot be read.
    pub fn new(authorities: &[Box<[u8]>], lookup: &Lookup) -> Result<Fetcher, FetchError> {
        // The first provider of the process stays, if there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = |reach| {
            let mut builder = Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(1)
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                .user_agent("corelane")
                .dns_resolver(CheckedResolver {
                    reach,
                    lookup: Arc::clone(lookup),
                });
            for pem in authorities {
                let certificates = reqwest::Certificate::from_pem_bundle(pem);
                for certificate in certificates.map_err(transport)? {
                    builder = builder.add_root_certificate(certificate);
                }
            }
            Ok((reach, builder.build().map_err(transport)?))
        };
        let reaches = [Reach::Loopback, Reach::Configured, Reach::Found];
        let [loopback, configured, found] = reaches.map(client);
        Ok(Fetcher {
            clients: [loopback?, configured?, found?],
        })
    }

    /// Gets a document of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// The address is refused, or there is no answer with status 200 within 5 seconds.
    pub async fn get(&self, target: &Target, bytes_max: usize) -> Result<Document, FetchError> {
        let request = self.client(target)?.get(target.url.clone());
        receive(request.header(ACCEPT, "application/json"), bytes_max).await
    }

    /// Posts a form with the name and the secret of this client (RFC 6749 2.3.1).
    ///
    /// # Errors
    /// As [`Fetcher::get`], within `timeout`.
    pub async fn post_form(
        &self,
        target: &Target,
        form: String,
        client: (&str, &str),
        timeout: Duration,
    ) -> Result<Document, FetchError> {
        let (id, secret) = client;
        let request = self
            .client(target)?
            .post(target.url.clone())
            .timeout(timeout)
            .basic_auth(id, Some(secret))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        receive(request, INTROSPECTION_BYTES_MAX).await
    }

    fn client(&self, target: &Target) -> Result<&Client, FetchError> {
        // A URL with an address is not resolved.
        if !target.has_allowed_host() {
            return Err(FetchError::Address);
        }
        let found = self
            .clients
            .iter()
            .find(|(reach, _)| *reach == target.reach);
        let (_, client) = found.expect("there is a client for each reach");
        Ok(client)
    }
}

/// Longest answer of an introspection, in bytes.
const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;

/// Sends a request, and once more if its connection was closed without an answer: a server may
/// close a kept connection just when the next request is sent (RFC 9112 section 9.3.1). Each
/// request here may be repeated.
async fn send(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again))
            if error.is_request() && !error.is_connect() && !error.is_timeout() =>
        {
            again.send().await
        }
        (sent, _) => sent,
    }
}

async fn receive(request: RequestBuilder, bytes_max: usize) -> Result<Document, FetchError> {
    let mut response = send(request).await.map_err(transport)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let too_long = FetchError::TooLong(bytes_max);
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_long);
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(transport)? {
        if body.len() + piece.len() > bytes_max {
            return Err(too_long);
        }
        body.extend_from_slice(&piece);
    }
    Ok(document(&response, body))
}

fn document(response: &Response, body: Vec<u8>) -> Document {
    let headers = response.headers();
    let date = text_of(headers, &DATE).and_then(|text| httpdate::parse_http_date(text).ok());
    let seconds = |time: SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
    Document {
        body,
        max_age_s: text_of(headers, &CACHE_CONTROL).and_then(max_age_s),
        date_s: date.and_then(seconds),
    }
}

fn text_of<'h>(headers: &'h HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// How long an answer may be kept (RFC 9111 5.2.2).
fn max_age_s(field: &str) -> Option<u64> {
    let mut directives = field.split(',').map(|it| it.trim().to_ascii_lowercase());
    if directives
        .clone()
        .any(|it| it == "no-store" || it == "no-cache")
    {
        return Some(0);
    }
    directives.find_map(|it| it.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

/// The reason without the URL, which may have secrets in its query.
fn transport(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Timeout;
    }
    let error = error.without_url();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut text = String::new();
    while let Some(inner) = source {
        if inner.is::<Refused>() {
            return FetchError::Address;
        }
        // The innermost error has the reason.
        text = inner.to_string();
        source = inner.source();
    }
    FetchError::Transport(text)
}

/// Resolves names to allowed addresses only.
struct CheckedResolver {
    reach: Reach,
    lookup: Lookup,
}

#[derive(Debug, thiserror::Error)]
#[error("the host has no address that is allowed")]
struct Refused;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, found) = (self.reach, (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found = found.await?;
            // One refused address refuses all: a name with both is an attempt to get past this.
            if found.is_empty() || !found.iter().all(|address| reach.allows(*address)) {
                return Err(Refused.into());
            }
            let found = found.into_iter().take(ADDRESSES_MAX);
            let addresses: Addrs = Box::new(found.map(|it| SocketAddr::new(it, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::max_age_s;

    #[test]
    fn the_age_of_an_answer_is_that_of_its_field() {
        for (field, expected) in [
            ("max-age=300", Some(300)),
            ("public, MAX-AGE=10", Some(10)),
            ("max-age=\"60\"", Some(60)),
            ("max-age=300, no-store", Some(0)),
            ("no-cache", Some(0)),
            ("max-age=-1", None),
            ("max-age=x", None),
            ("s-maxage=1", None),
            ("", None),
        ] {
            assert_eq!(max_age_s(field), expected, "{field}");
        }
    }
}
