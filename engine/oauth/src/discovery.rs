//! The metadata of a server and of its authorization server (RFC 9728, RFC 8414).
//!
//! Metadata of another resource, or of another issuer than the one its URL was made of, are
//! refused before anything is sent to them.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fetch::{Fetcher, safe_url, shown};
use crate::{AuthError, Challenge};

/// Metadata of the protected resource.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ResourceMetadata {
    /// Its URL.
    pub resource: String,
    /// The issuers of its tokens.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// The scopes that it has, if it lists them.
    pub scopes_supported: Option<Vec<String>>,
}

/// Metadata of the authorization server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct IssuerMetadata {
    /// Its identifier.
    pub issuer: String,
    /// Where users agree; empty if they cannot.
    #[serde(default)]
    pub authorization_endpoint: String,
    /// Where tokens are requested.
    pub token_endpoint: String,
    /// Where clients are registered (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// The scopes that it has.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// The methods of RFC 7636.
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// How clients show who they are; empty if it does not list that.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether the URL of a document can be the id of a client.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// Whether it names itself in the answer to an authorization (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl IssuerMetadata {
    /// Whether it has the proof of possession that MCP requires (RFC 7636).
    pub fn has_pkce(&self) -> bool {
        let methods = &self.code_challenge_methods_supported;
        methods.iter().any(|method| method == "S256")
    }
}

/// The metadata of a resource and of its authorization server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Discovered {
    /// Those of the resource.
    pub resource: ResourceMetadata,
    /// Those of the authorization server.
    pub issuer: IssuerMetadata,
}

/// Finds the authorization server of `server`, which may have refused a request with `challenge`.
///
/// # Errors
/// There are no such metadata, or they are of another resource or issuer.
pub async fn discover(
    fetcher: &Fetcher,
    server: &Url,
    challenge: &Challenge,
) -> Result<Discovered, AuthError> {
    let resource = resource_metadata(fetcher, server, challenge).await?;
    if !is_of_resource(server, &resource.resource) {
        let (found, server) = (shown(&resource.resource), shown(server.as_str()));
        return Err(AuthError(format!(
            "the metadata are of {found:?}, not of {server}"
        )));
    }
    let name = resource.authorization_servers.first();
    let name = name.ok_or_else(|| {
        let server = shown(server.as_str());
        AuthError(format!("{server} names no authorization server"))
    })?;
    for url in issuer_urls(&safe_url(name, server)?) {
        let Some(document) = fetcher.document(&url).await? else {
            continue;
        };
        let issuer: IssuerMetadata = read(&url, document)?;
        // RFC 8414 3.3: a string comparison, without normalization.
        if issuer.issuer != *name {
            let found = &issuer.issuer;
            return Err(AuthError(format!(
                "{url} has the metadata of {found:?}, not of {name:?}"
            )));
        }
        return Ok(Discovered { resource, issuer });
    }
    Err(AuthError(format!(
        "{name} has no metadata of an authorization server"
    )))
}

async fn resource_metadata(
    fetcher: &Fetcher,
    server: &Url,
    challenge: &Challenge,
) -> Result<ResourceMetadata, AuthError> {
    let urls = match &challenge.resource_metadata {
        Some(named) => vec![safe_url(named, server)?],
        None => resource_urls(server),
    };
    for url in urls {
        if let Some(document) = fetcher.document(&url).await? {
            return read(&url, document);
        }
    }
    let server = shown(server.as_str());
    Err(AuthError(format!(
        "{server} wants credentials and has no metadata (RFC 9728)"
    )))
}

fn read<T: for<'de> Deserialize<'de>>(url: &Url, document: Value) -> Result<T, AuthError> {
    serde_json::from_value(document).map_err(|error| {
        let url = shown(url.as_str());
        AuthError(format!("the metadata of {url} are not valid: {error}"))
    })
}

/// Where the metadata of a resource may be: with its path, then without.
fn resource_urls(server: &Url) -> Vec<Url> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let path = server.path().trim_end_matches('/');
    let mut urls = Vec::new();
    if !path.is_empty() {
        urls.push(with_path(server, &format!("{WELL_KNOWN}{path}")));
    }
    urls.push(with_path(server, WELL_KNOWN));
    urls
}

/// Where the metadata of an issuer may be (MCP basic/authorization, "Authorization Server Metadata
/// Discovery").
fn issuer_urls(issuer: &Url) -> Vec<Url> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let path = issuer.path().trim_end_matches('/');
    if path.is_empty() {
        return vec![with_path(issuer, OAUTH), with_path(issuer, OPENID)];
    }
    vec![
        with_path(issuer, &format!("{OAUTH}{path}")),
        with_path(issuer, &format!("{OPENID}{path}")),
        with_path(issuer, &format!("{path}{OPENID}")),
    ]
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Whether `resource` is the server, or a folder that it is in.
fn is_of_resource(server: &Url, resource: &str) -> bool {
    let Ok(resource) = Url::parse(resource) else {
        return false;
    };
    let folder = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
    server.origin() == resource.origin() && folder(server).starts_with(&folder(&resource))
}

#[cfg(test)]
mod tests {
    use super::{is_of_resource, issuer_urls, resource_urls};
    use reqwest::Url;

    fn texts(urls: Vec<Url>) -> Vec<String> {
        urls.into_iter().map(|url| url.path().to_owned()).collect()
    }

    #[test]
    fn metadata_are_searched_in_their_order() {
        let url = |text: &str| Url::parse(text).unwrap();
        let known = "/.well-known/oauth-protected-resource";
        let found = texts(resource_urls(&url("https://a/mcp/?x=1")));
        assert_eq!(found, [format!("{known}/mcp"), known.to_owned()]);
        assert_eq!(texts(resource_urls(&url("https://a"))), [known]);
        let (oauth, openid) = (
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
        );
        assert_eq!(texts(issuer_urls(&url("https://a/"))), [oauth, openid]);
        let found = texts(issuer_urls(&url("https://a/t")));
        assert_eq!(
            found,
            [
                format!("{oauth}/t"),
                format!("{openid}/t"),
                format!("/t{openid}")
            ]
        );
    }

    #[test]
    fn metadata_of_another_resource_are_none_of_this_server() {
        let server = Url::parse("https://a/x/mcp").unwrap();
        for (resource, is_own) in [
            ("https://a/x/mcp", true),
            ("https://a/x/mcp/", true),
            ("https://a/x", true),
            ("https://a", true),
            ("https://a/x/m", false),
            ("https://a/x/mcp/y", false),
            ("https://b/x/mcp", false),
            ("http://a/x/mcp", false),
            ("https://a:444/x/mcp", false),
            ("a", false),
        ] {
            assert_eq!(is_of_resource(&server, resource), is_own, "{resource}");
        }
    }
}
