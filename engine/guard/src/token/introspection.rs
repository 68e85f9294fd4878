//! The answer of an issuer about an opaque token (RFC 7662 2.2), through the rules for claims.

use std::sync::Arc;

use super::claims::Claims;
use super::fault::TokenFault;
use super::verify::{
    LEEWAY_S_MAX, Proof, TokenKind, Verified, Verifier, bound_certificate, revocations,
};
use crate::identity::{Identity, Method};

/// How long an answer is used, in seconds: as long as a revocation at the issuer has no effect.
const INTROSPECTED_TTL_S: u64 = 60;
/// The start of the subject of a client that acts for no user. An issuer does not name it, so it
/// must not look as the name of a user.
const CLIENT_SUBJECT: &str = "client:";

impl Verifier {
    /// Verifies the answer of the issuer with this alias about an opaque token. The binding to a
    /// certificate is for [`Authenticator::check`](super::Authenticator::check) to
    /// check.
    ///
    /// # Errors
    /// The first rule that the answer breaks; [`TokenFault::Inactive`] if it says that the token
    /// is not valid.
    pub fn verify_introspection(
        &self,
        alias: &str,
        answer: &[u8],
        now_s: u64,
    ) -> Result<Verified, TokenFault> {
        let mut issuers = self.issuers.iter().map(|(issuer, _)| issuer);
        let issuer = issuers.find(|issuer| *issuer.alias == *alias);
        let issuer = issuer.ok_or(TokenFault::Issuer)?;
        let TokenKind::Opaque { audience_required } = issuer.kind else {
            return Err(TokenFault::Issuer);
        };
        let claims = Claims::read(answer)?;
        if !claims.is_active() || !claims.is_access_token() {
            return Err(TokenFault::Inactive);
        }
        if claims.has("iss") && claims.issuer()? != &*issuer.issuer {
            return Err(TokenFault::Issuer);
        }
        let endpoints = match audience_required || claims.has("aud") {
            true => claims.check_audience(&self.resources, &issuer.audiences_extra)?,
            false => None,
        };
        let leeway_s = issuer.leeway_s.min(LEEWAY_S_MAX);
        let expires_s = match claims.has("exp") {
            true => Some(claims.check_expiry(now_s, leeway_s)?),
            false => None,
        };
        claims.check_start(now_s, leeway_s, issuer.token_age_max_s)?;
        let subject = subject(&claims)?;
        let identity = Identity {
            expires_s,
            endpoints,
            ..self.identity(issuer, Method::Introspected, &subject, &claims)?
        };
        let expires_s = expires_s.map_or(u64::MAX, |end_s| end_s.saturating_add(leeway_s));
        let verified = Verified {
            until_s: expires_s.min(now_s.saturating_add(INTROSPECTED_TTL_S)),
            certificate: bound_certificate(&claims)?,
            proof: Proof::Introspection,
            revocations: revocations(issuer, &identity.subject, &claims),
            identity: Arc::new(identity),
        };
        match self.has_revoked(&verified) {
            true => Err(TokenFault::Revoked),
            false => Ok(verified.remembered()),
        }
    }
}

/// The subject, which an answer lacks if the client acts for itself.
fn subject(claims: &Claims) -> Result<String, TokenFault> {
    if claims.has("sub") {
        let subject = claims.subject()?;
        let is_user = !subject.starts_with(CLIENT_SUBJECT);
        return is_user
            .then(|| subject.to_owned())
            .ok_or(TokenFault::Subject);
    }
    let client = claims.client()?.ok_or(TokenFault::Subject)?;
    Ok(format!("{CLIENT_SUBJECT}{client}"))
}
