//! `[[auth.issuer]]`: the rules for the tokens of an issuer, and the source of its keys.

use std::io;
use std::path::Path;
use std::sync::Arc;

use corelane_guard::metadata::is_loopback;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::{IssuerKeys, KEY_SET_BYTES_MAX};
use corelane_guard::token::verify::{Issuer, LEEWAY_S_MAX, TokenKind, TypeProfile};
use reqwest::Url;
use toml::Spanned;

use super::auth::URL_BYTES_MAX;
use super::fault::{IssuerFault, UrlDefect};
use super::reader::Reader;
use super::text::{IssuerText, ProfileText};
use super::values::{Introspection, IssuerConfig, KeySource};
use crate::address::Reach;
use crate::fetch::Target;
use crate::file::read_regular;
use crate::secret::Secret;

const ALIAS_BYTES_MAX: usize = 32;
/// Longest path of a claim, and longest other name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most selected claims of an issuer, most other audiences, and most files of authorities.
const LIST_MAX: usize = 32;
/// The least bytes of a secret: the shortest hash of HMAC (RFC 7518 3.2).
const SECRET_BYTES_MIN: usize = 32;
const SOURCES: &str = "jwks_uri, jwks_file, secret_file and introspection_endpoint";

impl Reader<'_> {
    pub(super) fn issuers(&mut self, texts: &[IssuerText]) -> Vec<IssuerConfig> {
        if let Some(first) = texts.first() {
            let max = self.server.limits.issuers_max;
            self.check_count(first.alias.span(), "issuers", texts.len(), max);
            if texts.len() > max {
                return Vec::new();
            }
        }
        let mut issuers = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            self.check_names(text, &texts[..place]);
            issuers.extend(self.issuer(text));
        }
        let is_opaque = |text: &&IssuerText| text.introspection_endpoint.is_some();
        if let Some(second) = texts.iter().filter(is_opaque).nth(1) {
            self.find_in(&second.alias, IssuerFault::TwoOpaque);
        }
        issuers
    }

    fn find_in<T>(&mut self, place: &Spanned<T>, fault: IssuerFault) {
        self.find(place.span(), fault);
    }

    /// Checks that the names of an issuer are its own.
    fn check_names(&mut self, text: &IssuerText, before: &[IssuerText]) {
        let alias = text.alias.get_ref();
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=ALIAS_BYTES_MAX).contains(&alias.len()) || !alias.bytes().all(is_allowed) {
            self.find_in(&text.alias, IssuerFault::Alias(alias.clone()));
        }
        if before.iter().any(|other| other.alias.get_ref() == alias) {
            self.find_in(&text.alias, IssuerFault::AliasTwice(alias.clone()));
        }
        let issuer = text.issuer.get_ref();
        if before.iter().any(|other| other.issuer.get_ref() == issuer) {
            self.find_in(&text.issuer, IssuerFault::IssuerTwice(issuer.clone()));
        }
    }

    fn issuer(&mut self, text: &IssuerText) -> Option<IssuerConfig> {
        let lists = [
            ("audiences_extra", &text.audiences_extra),
            ("claims", &text.claims),
        ];
        for (key, list) in lists {
            self.check_count(text.alias.span(), key, list.len(), LIST_MAX);
        }
        let paths = [
            ("roles_claim", &text.roles_claim),
            ("groups_claim", &text.groups_claim),
            ("tenant_claim", &text.tenant_claim),
        ];
        let paths = paths
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_ref()?)));
        let names = lists
            .into_iter()
            .flat_map(|(key, list)| list.iter().map(move |name| (key, name)));
        for (key, name) in paths.chain(names) {
            self.check_text(text.alias.span(), key, name, NAME_BYTES_MAX);
        }
        let algorithms = self.algorithms(text);
        let source = self.source(text, &algorithms)?;
        let boxed = |name: &Option<String>| name.as_deref().map(Box::from);
        let boxes = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let audience_required = text.audience_required;
        Some(IssuerConfig {
            issuer: Arc::new(Issuer {
                kind: match source {
                    KeySource::Introspection(_) => TokenKind::Opaque { audience_required },
                    _ => TokenKind::Signed,
                },
                profile: match text.profile {
                    ProfileText::Rfc9068 => TypeProfile::Rfc9068,
                    ProfileText::Jwt => TypeProfile::Jwt,
                },
                algorithms,
                audiences_extra: boxes(&text.audiences_extra),
                leeway_s: self.server.limits.leeway_s.min(LEEWAY_S_MAX),
                token_age_max_s: text.token_age_max_s,
                roles_claim: boxed(&text.roles_claim),
                groups_claim: boxed(&text.groups_claim),
                tenant_claim: boxed(&text.tenant_claim),
                claims: boxes(&text.claims),
                ..Issuer::new(text.alias.get_ref(), text.issuer.get_ref())
            }),
            source,
        })
    }

    fn algorithms(&mut self, text: &IssuerText) -> Vec<Algorithm> {
        let Some(names) = &text.algorithms else {
            return Algorithm::DEFAULTS.to_vec();
        };
        if names.get_ref().is_empty() {
            self.find_in(names, IssuerFault::NoAlgorithm);
        }
        let mut algorithms = Vec::new();
        for name in names.get_ref() {
            match Algorithm::from_name(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => {
                    let known = Algorithm::names().collect::<Vec<_>>().join(", ");
                    let name = name.clone();
                    self.find_in(names, IssuerFault::Algorithm { name, known });
                }
            }
        }
        algorithms
    }

    /// The source of the keys; None if it has a fault.
    fn source(&mut self, text: &IssuerText, algorithms: &[Algorithm]) -> Option<KeySource> {
        let inline = [
            ("secret", &text.secret),
            ("client_secret", &text.client_secret),
        ];
        for (key, secret) in inline {
            if let Some(secret) = secret {
                self.find_in(secret, IssuerFault::Inline(key));
            }
        }
        let sources = [
            &text.jwks_uri,
            &text.jwks_file,
            &text.secret_file,
            &text.introspection_endpoint,
        ];
        if let Some(second) = sources.into_iter().flatten().nth(1) {
            self.find_in(second, IssuerFault::Sources(SOURCES));
        }
        if let (None, Some(names)) = (&text.secret_file, &text.algorithms) {
            let mut all = names.get_ref().iter();
            let is_symmetric =
                |name: &&String| Algorithm::from_name(name).is_some_and(Algorithm::is_symmetric);
            if let Some(name) = all.find(is_symmetric) {
                self.find_in(names, IssuerFault::NoSecret(name.clone()));
            }
        }
        if text.introspection_endpoint.is_none() {
            if text.client_id.is_some() {
                self.find_in(&text.alias, IssuerFault::NoIntrospection("client_id"));
            }
            if let Some(secret) = &text.client_secret_file {
                self.find_in(secret, IssuerFault::NoIntrospection("client_secret_file"));
            }
        }
        let issuer = self.target("issuer", &text.issuer, &text.issuer);
        if let Some(path) = &text.jwks_file {
            return self.key_set(path).map(KeySource::Local);
        }
        if let Some(source) = &text.secret_file {
            return self.shared_secret(source, algorithms).map(KeySource::Local);
        }
        if let Some(endpoint) = &text.introspection_endpoint {
            let endpoint = self.target("introspection_endpoint", endpoint, &text.issuer);
            let introspection = self.introspection(text, endpoint?)?;
            return Some(KeySource::Introspection(Arc::new(introspection)));
        }
        if let Some(uri) = &text.jwks_uri {
            let uri = self.target("jwks_uri", uri, &text.issuer);
            return uri.map(KeySource::Uri);
        }
        Some(KeySource::Discovery {
            issuer: issuer?,
            allows_private: text.allow_private_network,
        })
    }

    /// A URL that the operator wrote. Only an issuer on a loopback host has others on one.
    fn target(
        &mut self,
        key: &'static str,
        text: &Spanned<String>,
        issuer: &Spanned<String>,
    ) -> Option<Target> {
        let is_local = Url::parse(issuer.get_ref())
            .is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()));
        let url = text.get_ref();
        match configured_target(url, is_local, key != "issuer") {
            Ok(target) => Some(target),
            Err(defect) => {
                let url = url.clone();
                self.find_in(text, IssuerFault::Url { key, url, defect });
                None
            }
        }
    }

    fn key_set(&mut self, place: &Spanned<String>) -> Option<Arc<IssuerKeys>> {
        let path = self.base.join(place.get_ref());
        let found = match self.file(place, &path) {
            Err(error) => Err(IssuerFault::File { path, error }),
            Ok(text) => {
                IssuerKeys::from_jwks(&text).map_err(|error| IssuerFault::KeySet { path, error })
            }
        };
        found
            .map(Arc::new)
            .map_err(|it| self.find_in(place, it))
            .ok()
    }

    /// The bytes of a file that the configuration names at `place`.
    fn file(&mut self, place: &Spanned<String>, path: &Path) -> io::Result<Vec<u8>> {
        self.files.push(path.to_owned());
        // One byte more, so that a longer file is refused for its length.
        let contents = read_regular(path, KEY_SET_BYTES_MAX)?;
        if contents.is_writable_by_all {
            self.find_in(place, IssuerFault::Writable(path.to_owned()));
        }
        Ok(contents.bytes)
    }

    fn secret(&mut self, place: &Spanned<String>) -> Option<Secret> {
        let secret = Secret::read(place.get_ref(), self.base, self.files);
        secret
            .map_err(|fault| self.find_in(place, fault.into()))
            .ok()
    }

    fn shared_secret(
        &mut self,
        place: &Spanned<String>,
        algorithms: &[Algorithm],
    ) -> Option<Arc<IssuerKeys>> {
        if !algorithms.iter().all(|algorithm| algorithm.is_symmetric()) {
            self.find_in(place, IssuerFault::NotHmac);
        }
        let secret = self.secret(place)?;
        let keys = IssuerKeys::from_secret(secret.expose());
        if keys.is_none() {
            self.find_in(place, IssuerFault::ShortSecret(SECRET_BYTES_MIN));
        }
        keys.map(Arc::new)
    }

    fn introspection(&mut self, text: &IssuerText, endpoint: Target) -> Option<Introspection> {
        let (Some(client_id), Some(secret)) = (&text.client_id, &text.client_secret_file) else {
            self.find_in(&text.alias, IssuerFault::NoClient);
            return None;
        };
        self.check_text(text.alias.span(), "client_id", client_id, NAME_BYTES_MAX);
        Some(Introspection {
            endpoint,
            client_id: client_id.as_str().into(),
            client_secret: self.secret(secret)?,
        })
    }

    /// The certificates of other authorities than those of the system.
    pub(super) fn authorities(&mut self, places: &[Spanned<String>]) -> Vec<Box<[u8]>> {
        if let Some(first) = places.first() {
            self.check_count(first.span(), "files", places.len(), LIST_MAX);
        }
        let mut authorities = Vec::new();
        for place in places {
            let path = self.base.join(place.get_ref());
            let found = self.certificates(place, &path);
            match found {
                Ok(text) => authorities.push(text.into()),
                Err(reason) => self.find_in(place, IssuerFault::Certificates { path, reason }),
            }
        }
        authorities
    }

    fn certificates(&mut self, place: &Spanned<String>, path: &Path) -> Result<Vec<u8>, String> {
        let text = self.file(place, path);
        let text = text.map_err(|error| error.to_string())?;
        match reqwest::Certificate::from_pem_bundle(&text) {
            Ok(all) if all.is_empty() => Err("no certificate is in it".to_owned()),
            Ok(_) => Ok(text),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A URL of the configuration as a target. Only those of endpoints may have a query.
fn configured_target(text: &str, is_local: bool, may_query: bool) -> Result<Target, UrlDefect> {
    let url = Url::parse(text).map_err(|_| UrlDefect::Form)?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && (may_query || url.query().is_none())
        && text.len() <= URL_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    let Some(host) = url.host_str().filter(|_| is_plain) else {
        return Err(UrlDefect::Form);
    };
    let is_here = is_local && is_loopback(host.trim_matches(['[', ']']));
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(UrlDefect::ClearText),
        _ => return Err(UrlDefect::Form),
    }
    let reach = match is_here {
        true => Reach::Loopback,
        false => Reach::Configured,
    };
    let target = Target { url, reach };
    match target.has_allowed_host() {
        true => Ok(target),
        false => Err(UrlDefect::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::{UrlDefect, configured_target};

    #[test]
    fn urls_have_no_form_of_a_refused_address() {
        for (url, defect) in [
            ("https://2852039166/keys", UrlDefect::Address),
            ("https://0xa9fea9fe/keys", UrlDefect::Address),
            ("https://0251.0376.0251.0376/keys", UrlDefect::Address),
            ("https://169.254.43518/keys", UrlDefect::Address),
            ("https://[::ffff:169.254.169.254]/keys", UrlDefect::Address),
            ("https://[::ffff:a9fe:a9fe]/keys", UrlDefect::Address),
            ("https://[64:ff9b::a9fe:a9fe]/keys", UrlDefect::Address),
            ("https://[fe80::1]/keys", UrlDefect::Address),
            ("https://127.0.0.1/keys", UrlDefect::Address),
            ("https://2130706433/keys", UrlDefect::Address),
            ("https://0177.0.0.1/keys", UrlDefect::Address),
            ("https://[::1]/keys", UrlDefect::Address),
            ("https://0/keys", UrlDefect::Address),
            ("http://127.0.0.1/keys", UrlDefect::ClearText),
            ("https://u:p@h/keys", UrlDefect::Form),
            ("https://h/keys#a", UrlDefect::Form),
            ("file:///etc/passwd", UrlDefect::Form),
            ("gopher://h/", UrlDefect::Form),
            ("https:///", UrlDefect::Form),
        ] {
            let found = configured_target(url, false, true).map(|_| ());
            assert_eq!(found, Err(defect), "{url}");
        }
        for (url, is_local) in [
            ("https://login.example.com/a?b", false),
            ("https://10.0.0.1/", false),
            ("https://h:8443/", true),
            ("http://127.0.0.1:1/", true),
            ("http://localhost:1/", true),
            ("http://[::1]:1/", true),
        ] {
            assert!(configured_target(url, is_local, true).is_ok(), "{url}");
        }
        // An issuer on a loopback host has no keys at others in clear text.
        let elsewhere = configured_target("http://h/", true, true).map(|_| ());
        assert_eq!(elsewhere, Err(UrlDefect::ClearText));
        let query = configured_target("https://h/?a", false, false).map(|_| ());
        assert_eq!(query, Err(UrlDefect::Form));
    }
}
