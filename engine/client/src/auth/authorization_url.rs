//! The request of a code, and the answer of the authorization server to it (RFC 6749 4.1, RFC 7636,
//! RFC 9207).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use sha2::{Digest as _, Sha256};

use super::AuthError;

/// Bytes of a secret that is made for one request.
const SECRET_BYTES: usize = 32;

/// The request of a code, with the secrets that the answer must fit.
#[derive(Debug)]
pub(super) struct CodeRequest {
    pub url: Url,
    /// The verifier of PKCE.
    pub verifier: String,
    state: String,
    /// The issuer that the request goes to, recorded before it is made.
    issuer: String,
    /// Whether the issuer promises its name in the answer.
    names_issuer: bool,
}

/// The parts of a request of a code that are not secret.
pub(super) struct CodeParameters<'a> {
    pub endpoint: Url,
    pub issuer: &'a str,
    pub names_issuer: bool,
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub resource: &'a str,
    pub scope: &'a str,
}

fn secret() -> Result<String, AuthError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| AuthError(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl CodeRequest {
    /// A request with new secrets.
    pub(super) fn new(parameters: CodeParameters<'_>) -> Result<CodeRequest, AuthError> {
        let (verifier, state) = (secret()?, secret()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = parameters.endpoint;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", parameters.client_id)
            .append_pair("redirect_uri", parameters.redirect_uri)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", &state)
            .append_pair("resource", parameters.resource);
        if !parameters.scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", parameters.scope);
        }
        Ok(CodeRequest {
            url,
            verifier,
            state,
            issuer: parameters.issuer.to_owned(),
            names_issuer: parameters.names_issuer,
        })
    }

    /// The code of the URL that the user was sent back to. The text of an error of an answer that
    /// fits nothing is not shown: it may be an attacker's.
    pub(super) fn code(&self, redirected: &str) -> Result<String, AuthError> {
        let fault = |text: &str| Err(AuthError(text.to_owned()));
        let Ok(url) = Url::parse(redirected) else {
            return fault("the user was sent back to no URL");
        };
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        if value("state").as_deref() != Some(&*self.state) {
            return fault("the answer of the authorization server has another state");
        }
        if !fits_issuer(&self.issuer, self.names_issuer, value("iss").as_deref()) {
            return fault("the answer is not of the authorization server that was requested");
        }
        match (value("error"), value("code")) {
            (Some(error), _) => fault(&format!("the authorization server refuses: {error:.100}")),
            (None, Some(code)) => Ok(code),
            (None, None) => fault("the answer of the authorization server has no code"),
        }
    }
}

/// Whether the `iss` of an answer fits (RFC 9207 2.4): a string comparison, without normalization.
fn fits_issuer(issuer: &str, is_promised: bool, received: Option<&str>) -> bool {
    match received {
        Some(received) => received == issuer,
        None => !is_promised,
    }
}

#[cfg(test)]
mod tests {
    use super::{CodeParameters, CodeRequest, fits_issuer};
    use reqwest::Url;

    fn request() -> CodeRequest {
        let parameters = CodeParameters {
            endpoint: Url::parse("https://as/authorize?x=1").unwrap(),
            issuer: "https://as",
            names_issuer: true,
            client_id: "c",
            redirect_uri: "http://localhost/cb",
            resource: "https://mcp",
            scope: "a b",
        };
        CodeRequest::new(parameters).unwrap()
    }

    #[test]
    fn the_issuer_of_an_answer_is_compared_as_text() {
        for (promised, received, fits) in [
            (true, Some("https://as"), true),
            (false, None, true),
            (true, None, false),
            (true, Some("https://evil"), false),
            (false, Some("https://evil"), false),
            (true, Some("https://as/"), false),
        ] {
            assert_eq!(
                fits_issuer("https://as", promised, received),
                fits,
                "{received:?}"
            );
        }
    }

    #[test]
    fn a_code_is_taken_from_a_fitting_answer_only() {
        let (request, other) = (request(), request());
        let query = request.url.query().unwrap();
        for part in [
            "x=1&",
            "code_challenge_method=S256",
            "resource=https%3A%2F%2Fmcp",
            "scope=a+b",
        ] {
            assert!(query.contains(part), "{query}");
        }
        assert_ne!(
            (&request.state, &request.verifier),
            (&other.state, &other.verifier)
        );
        assert!(!query.contains(&request.verifier));
        let state = &request.state;
        let end = |rest: &str| request.code(&format!("http://localhost/cb?{rest}"));
        let own = format!("state={state}&iss=https://as");
        assert_eq!(end(&format!("code=a%20b&{own}")).unwrap(), "a b");
        for (answer, error) in [
            ("code=x".to_owned(), "another state"),
            (
                format!("code=x&iss=https://as&state={}", other.state),
                "another state",
            ),
            (
                format!("code=x&state={state}"),
                "not of the authorization server",
            ),
            (
                format!("error=evil&iss=https://evil&state={state}"),
                "not of the authorization",
            ),
            (
                format!("error=access_denied&{own}"),
                "refuses: access_denied",
            ),
            (own.clone(), "no code"),
        ] {
            let found = end(&answer).unwrap_err().to_string();
            assert!(
                found.contains(error) && !found.contains("evil"),
                "{answer}: {found}"
            );
        }
    }
}
