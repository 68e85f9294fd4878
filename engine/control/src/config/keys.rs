//! `[[auth.api_key]]` and `[[auth.revoked]]`.

use std::time::UNIX_EPOCH;

use corelane_guard::api_key::{ApiKey, ApiKeys};
use corelane_guard::token::verify::DenyList;
use toml::Spanned;
use toml::value::Datetime;

use super::reader::Reader;
use super::text::{ApiKeyText, RevokedText};
use super::{Fault, IssuerConfig};

/// Most roles of a key, and longest name of a role or a tenant, in bytes: as of a token.
const NAMES_MAX: usize = 128;

impl Reader<'_> {
    pub(super) fn api_keys(&mut self, texts: &[ApiKeyText]) -> ApiKeys {
        if let Some(first) = texts.first() {
            let max = self.server.limits.api_keys_max;
            self.check_count(first.id.span(), "API keys", texts.len(), max);
        }
        let keys: Vec<ApiKey> = texts.iter().map(|text| self.api_key(text)).collect();
        // The key at fault is the first one with which the keys are refused.
        let mut all = ApiKeys::default();
        for (text, key) in texts.iter().zip(keys) {
            if let Err(fault) = all.insert(key) {
                self.find(text.id.span(), fault);
                break;
            }
        }
        all
    }

    fn api_key(&mut self, text: &ApiKeyText) -> ApiKey {
        let span = text.id.span();
        self.check_count(span.clone(), "roles", text.roles.len(), NAMES_MAX);
        for role in &text.roles {
            self.check_text(span.clone(), "roles", role, NAMES_MAX);
        }
        if let Some(tenant) = &text.tenant {
            self.check_text(span, "tenant", tenant, NAMES_MAX);
        }
        let sha256 = sha256(text.sha256.get_ref());
        if sha256.is_none() {
            self.find(text.sha256.span(), Fault::Sha256);
        }
        let addresses = text.addresses.as_ref();
        let addresses = addresses.and_then(|it| self.networks("addresses", it));
        let scopes = self.scopes(text.scopes.as_ref());
        ApiKey {
            id: text.id.get_ref().as_str().into(),
            sha256: sha256.unwrap_or_default(),
            roles: text.roles.iter().map(|it| it.as_str().into()).collect(),
            scopes: scopes.into_iter().map(Box::from).collect(),
            tenant: text.tenant.as_deref().map(Box::from),
            expires_s: text.expires.as_ref().and_then(|it| self.expires(it)),
            addresses: addresses.unwrap_or_default(),
        }
    }

    /// The time in seconds since 1970.
    fn expires(&mut self, place: &Spanned<Datetime>) -> Option<u64> {
        let text = place.get_ref().to_string();
        let time = humantime::parse_rfc3339(&text).ok();
        let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        if since.is_none() {
            self.find(place.span(), Fault::Expires(text));
        }
        since.map(|since| since.as_secs())
    }

    pub(super) fn denied(&mut self, texts: &[RevokedText], issuers: &[IssuerConfig]) -> DenyList {
        let mut denied = DenyList::default();
        for text in texts {
            let span = text.issuer.span();
            let alias = text.issuer.get_ref();
            if !issuers.iter().any(|it| *it.issuer.alias == **alias) {
                let aliases: Vec<&str> = issuers.iter().map(|it| &*it.issuer.alias).collect();
                let (alias, aliases) = (alias.clone(), aliases.join(", "));
                self.find(span.clone(), Fault::RevokedIssuer { alias, aliases });
            }
            let has_space = match (&text.token, &text.subject) {
                (Some(token), None) => denied.revoke_token(alias, token),
                (None, Some(subject)) => denied.revoke_subject(alias, subject),
                _ => {
                    self.find(span.clone(), Fault::Revoked);
                    true
                }
            };
            if !has_space {
                self.find(span, Fault::TooManyRevoked);
                break;
            }
        }
        denied
    }
}

/// A hash in hexadecimal digits.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::sha256;

    #[test]
    fn a_hash_is_64_hexadecimal_digits() {
        let mut expected = [0xab; 32];
        expected[31] = 1;
        assert_eq!(sha256(&("ab".repeat(31) + "01")), Some(expected));
        assert_eq!(sha256(&("AB".repeat(31) + "01")), Some(expected));
        for text in [
            "",
            "ab",
            &"ab".repeat(33),
            &"+1".repeat(32),
            &"\u{e4}".repeat(32),
        ] {
            assert_eq!(sha256(text), None, "{text}");
        }
    }
}
