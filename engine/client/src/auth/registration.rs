//! The identity of a client at an authorization server (MCP basic/authorization, "Client
//! Registration"): a registration made before, a metadata document, or a dynamic registration
//! (RFC 7591), in this order.

use reqwest::Url;
use serde_json::json;

use corelane_oauth::discovery::IssuerMetadata;
use corelane_oauth::fetch::{Fetcher, safe_url, shown};
use corelane_oauth::token::Registered;

use super::AuthError;

/// The identities that a client may have.
#[derive(Clone, Default)]
pub(super) struct Identity {
    /// The name for people.
    pub name: String,
    /// A registration made before.
    pub registered: Option<Registered>,
    /// The URL of a metadata document.
    pub metadata_url: Option<String>,
}

impl Identity {
    /// The client at an issuer that it has no registration with yet.
    pub(super) async fn register(
        &self,
        fetcher: &Fetcher,
        (server, issuer): (&Url, &IssuerMetadata),
        redirect_uri: &str,
    ) -> Result<Registered, AuthError> {
        if issuer.client_id_metadata_document_supported
            && let Some(url) = &self.metadata_url
        {
            return Ok(Registered {
                client_id: url.clone(),
                secret: None,
                method: None,
            });
        }
        let Some(endpoint) = &issuer.registration_endpoint else {
            let name = &issuer.issuer;
            let remedy = "register a client there and set its id";
            return Err(AuthError(format!("{name} registers no clients: {remedy}")));
        };
        let methods = &issuer.token_endpoint_auth_methods_supported;
        let is_public = methods.is_empty() || methods.iter().any(|method| method == "none");
        let method = match methods.first() {
            Some(first) if !is_public => first.as_str(),
            _ => "none",
        };
        let metadata = json!({
            "client_name": self.name,
            "application_type": "native",
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
        });
        let endpoint = safe_url(endpoint, server)?;
        let (status, answer) = fetcher.post_json(&endpoint, &metadata).await?;
        let answer = answer.filter(|_| (200..300).contains(&status));
        let registered = answer.and_then(|answer| serde_json::from_value(answer).ok());
        registered.ok_or_else(|| {
            AuthError(format!(
                "{} refuses a client: status {status}",
                shown(endpoint.as_str())
            ))
        })
    }
}
