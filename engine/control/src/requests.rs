//! The requests to an issuer: its keys, by its metadata or at once, and introspections.

use std::time::Duration;

use corelane_guard::token::keys::{IssuerKeys, KEY_SET_BYTES_MAX, KeySetError};
use reqwest::Url;
use secrecy::zeroize::Zeroizing;

use crate::config::{Introspection, KeySource};
use crate::discovery::{DiscoveryError, METADATA_BYTES_MAX, keys_target, metadata_urls};
use crate::fetch::{Document, FetchError, Fetcher, Target};

/// The longest time for an introspection.
const INTROSPECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Keys as an issuer sent them.
#[derive(Debug)]
pub struct FetchedKeys {
    /// The keys.
    pub keys: IssuerKeys,
    /// How long they may be kept, in seconds.
    pub max_age_s: Option<u64>,
    /// The clock of the issuer, in seconds since 1970.
    pub date_s: Option<u64>,
}

/// Why an issuer has no new keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Its metadata were not found.
    #[error("its metadata were not found: {0}")]
    NoMetadata(FetchError),
    /// Its metadata are refused.
    #[error(transparent)]
    Metadata(#[from] DiscoveryError),
    /// The keys were not found.
    #[error("its keys were not found: {0}")]
    NoKeys(FetchError),
    /// They are no key set.
    #[error("its keys are refused: {0}")]
    KeySet(#[from] KeySetError),
}

/// Fetches the keys of the issuer that was configured as `name`. None if they are not fetched.
///
/// # Errors
/// The keys or the metadata are not found, or refused.
pub async fn fetch_keys(
    fetcher: &Fetcher,
    name: &str,
    source: &KeySource,
) -> Result<Option<FetchedKeys>, KeysError> {
    let target = match source {
        KeySource::Uri(target) => target.clone(),
        KeySource::Discovery {
            issuer,
            allows_private,
        } => {
            let metadata = fetch_metadata(fetcher, issuer).await?;
            keys_target(&metadata.body, name, issuer, *allows_private)?
        }
        KeySource::Local(_) | KeySource::Introspection(_) => return Ok(None),
    };
    let document = fetcher.get(&target, KEY_SET_BYTES_MAX).await;
    let document = document.map_err(KeysError::NoKeys)?;
    Ok(Some(FetchedKeys {
        keys: IssuerKeys::from_jwks(&document.body)?,
        max_age_s: document.max_age_s,
        date_s: document.date_s,
    }))
}

/// The metadata at the first of their URLs that has some.
async fn fetch_metadata(fetcher: &Fetcher, issuer: &Target) -> Result<Document, KeysError> {
    let mut last = FetchError::Status(404);
    for url in metadata_urls(&issuer.url) {
        let reach = issuer.reach;
        match fetcher
            .get(&Target { url, reach }, METADATA_BYTES_MAX)
            .await
        {
            Ok(document) => return Ok(document),
            Err(error) => last = error,
        }
    }
    Err(KeysError::NoMetadata(last))
}

/// Sends a token to its issuer, and returns the answer (RFC 7662 2).
///
/// # Errors
/// There is no answer with status 200 within 2 seconds.
pub async fn introspect(
    fetcher: &Fetcher,
    introspection: &Introspection,
    token: &[u8],
) -> Result<Vec<u8>, FetchError> {
    let form = {
        let token = str::from_utf8(token).map_err(|_| FetchError::Status(400))?;
        format!("token={}&token_type_hint=access_token", encoded(token))
    };
    // The name and the secret are encoded as in a form (RFC 6749 2.3.1).
    let id = encoded(&introspection.client_id);
    let secret = String::from_utf8_lossy(introspection.client_secret.expose());
    let secret = Zeroizing::new(encoded(&secret));
    let target = &introspection.endpoint;
    let answer = fetcher.post_form(target, form, (&id, &secret), INTROSPECTION_TIMEOUT);
    Ok(answer.await?.body)
}

/// A text in the encoding of forms.
fn encoded(text: &str) -> String {
    let mut url = Url::parse("form:").expect("a URL");
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn texts_are_encoded_as_in_forms() {
        assert_eq!(encoded("a.b-c_1"), "a.b-c_1");
        assert_eq!(encoded("a b&c=d%:+\u{e4}"), "a+b%26c%3Dd%25%3A%2B%C3%A4");
        assert_eq!(encoded(""), "");
    }
}
