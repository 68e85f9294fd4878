//! The endpoints: their resources, their metadata, the scopes that they require, and the roles that
//! may use them.

use std::sync::Arc;

use corelane_guard::access::EndpointAccess;
use corelane_guard::bits::Bits256;
use corelane_guard::metadata::{CanonicalUri, Publication};
use corelane_guard::policy::Policy;
use corelane_guard::refusal::Challenge;
use corelane_guard::token::claims::Resource;
use toml::Spanned;

use super::fault::Fault;
use super::reader::Reader;
use super::text::{AuthText, EndpointText};
use super::values::IssuerConfig;

/// Longest text for people, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Longest URL, in bytes.
pub(super) const URL_BYTES_MAX: usize = 2048;
/// The scope that clients request for a refresh token.
const OFFLINE_ACCESS: &str = "offline_access";

impl Reader<'_> {
    /// The endpoints of the server, and the audiences of its tokens.
    pub(super) fn endpoints(
        &mut self,
        auth: &AuthText,
        policy: &Policy,
        issuers: &[IssuerConfig],
    ) -> (Arc<[EndpointAccess]>, Vec<Resource>) {
        let texts = self.endpoint_texts(&auth.endpoint);
        let initial = self.offered_scopes(auth.scopes_initial.as_ref());
        let required = self.required_scopes(auth.scopes_required.as_ref());
        let supported = match &auth.scopes_supported {
            None => joined(&initial, &required),
            supported => self.offered_scopes(supported.as_ref()),
        };
        let allowed = self.allowed_roles(auth.roles_allowed.as_ref(), policy);
        self.texts(auth);
        let publication = Publication {
            issuers: issuers.iter().map(|it| &*it.issuer.issuer).collect(),
            scopes_supported: supported,
            name: auth.resource_name.as_ref().map(|it| it.get_ref().as_str()),
            documentation: auth
                .resource_documentation
                .as_ref()
                .map(|it| it.get_ref().as_str()),
            binds_certificates: self.server.has_client_certificates,
        };
        let resource = self.resource(auth, !issuers.is_empty());
        let (mut endpoints, mut resources) = (Vec::new(), Vec::new());
        let is_alone = self.server.endpoint_paths.len() == 1;
        for path in &self.server.endpoint_paths {
            let text = texts.iter().find(|text| text.path.get_ref() == path);
            let own = text.and_then(|text| text.scopes_required.as_ref());
            let required = match own {
                None => required.clone(),
                own => self.required_scopes(own),
            };
            let own = text.and_then(|text| text.roles_allowed.as_ref());
            let roles = self.allowed_roles(own, policy).or(allowed);
            let has_root = is_alone || text.is_some_and(|text| text.root_metadata);
            let uri = resource.as_ref().map(|uri| match is_alone {
                true => uri.clone(),
                false => uri.with_path(path),
            });
            let metadata = uri
                .as_ref()
                .and_then(|uri| publication.metadata(uri, path, has_root));
            let url = uri.as_ref().filter(|_| metadata.is_some());
            let url = url.map(CanonicalUri::metadata_url);
            // Faults of the scopes were found before; the URL has no quotes.
            let scopes = joined(&initial, &required);
            let challenge = Challenge::new(url.as_deref(), &scopes).unwrap_or_default();
            resources.extend(uri.and_then(|uri| Resource::new(uri.as_str()).ok()));
            endpoints.push(EndpointAccess {
                path: path.as_str().into(),
                challenge,
                scope_bits: policy.scopes_of(required.iter().copied()),
                scopes: required.into_iter().map(Box::from).collect(),
                roles,
                metadata,
            });
        }
        (endpoints.into(), resources)
    }

    /// Roles of the policy, if a list of them is there.
    fn allowed_roles(
        &mut self,
        list: Option<&Spanned<Vec<String>>>,
        policy: &Policy,
    ) -> Option<Bits256> {
        let list = list?;
        let places = list.get_ref().iter().filter_map(|name| {
            let place = policy.role_place(name);
            if place.is_none() {
                self.find(list.span(), Fault::RoleUnknown(name.clone()));
            }
            place
        });
        Some(places.collect())
    }

    /// Checks that each `[[auth.endpoint]]` is one of the server.
    fn endpoint_texts<'t>(&mut self, texts: &'t [EndpointText]) -> &'t [EndpointText] {
        let mut roots = texts.iter().filter(|text| text.root_metadata);
        if let Some(second) = roots.nth(1) {
            self.find(second.path.span(), Fault::TwoRoots);
        }
        for (place, text) in texts.iter().enumerate() {
            let path = text.path.get_ref();
            if !self.server.endpoint_paths.contains(path) {
                let (path, endpoints) = (path.clone(), self.paths());
                self.find(text.path.span(), Fault::EndpointUnknown { path, endpoints });
            }
            let mut before = texts[..place].iter();
            if before.any(|other| other.path.get_ref() == path) {
                self.find(text.path.span(), Fault::EndpointTwice(path.clone()));
            }
        }
        texts
    }

    fn paths(&self) -> String {
        self.server.endpoint_paths.join(", ")
    }

    /// Scopes that clients are offered.
    fn offered_scopes<'t>(&mut self, list: Option<&'t Spanned<Vec<String>>>) -> Vec<&'t str> {
        let scopes = self.scopes(list);
        if let Some(list) = list.filter(|_| scopes.contains(&OFFLINE_ACCESS)) {
            self.find(list.span(), Fault::OfflineAccess);
        }
        scopes
    }

    /// Checks the texts for people.
    fn texts(&mut self, auth: &AuthText) {
        if let Some(name) = &auth.resource_name {
            let text = name.get_ref();
            self.check_text(name.span(), "resource_name", text, TEXT_BYTES_MAX);
        }
        if let Some(url) = &auth.resource_documentation {
            let text = url.get_ref();
            let is_url = text.starts_with("https://") || text.starts_with("http://");
            let is_url = is_url && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_url || text.len() > URL_BYTES_MAX {
                self.find(url.span(), Fault::Documentation(text.clone()));
            }
        }
    }

    /// The URL of the server: that of its only endpoint, or of one of them.
    fn resource(&mut self, auth: &AuthText, is_needed: bool) -> Option<CanonicalUri> {
        let paths = &self.server.endpoint_paths;
        let Some(text) = &auth.resource else {
            let origin = self.server.loopback_origin.as_deref();
            let origin = origin.and_then(|origin| CanonicalUri::new(origin).ok());
            let path = paths.first().map_or("/", String::as_str);
            let uri = origin.map(|origin| origin.with_path(path));
            if let Some(issuer) = auth.issuer.first().filter(|_| is_needed && uri.is_none()) {
                self.find(issuer.issuer.span(), Fault::NoResource);
            }
            return uri;
        };
        let uri = match CanonicalUri::new(text.get_ref()) {
            Ok(uri) => uri,
            Err(fault) => {
                self.find(text.span(), fault);
                return None;
            }
        };
        let is_own = |path: &String| uri.with_path(path) == uri;
        if paths.len() > 1 && !paths.iter().any(is_own) {
            let (path, endpoints) = (uri.path().to_owned(), self.paths());
            self.find(text.span(), Fault::ResourcePath { path, endpoints });
        }
        Some(uri)
    }
}

/// The scopes of two lists, each once.
fn joined<'t>(initial: &[&'t str], required: &[&'t str]) -> Vec<&'t str> {
    let mut scopes = initial.to_vec();
    for scope in required {
        if !scopes.contains(scope) {
            scopes.push(scope);
        }
    }
    scopes
}
