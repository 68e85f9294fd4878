//! From the text of a configuration to its values: the sections, and the checks that all share.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corelane_guard::finding::line_of;
use corelane_guard::limit;
use corelane_guard::network::Networks;
use corelane_guard::policy::{self, Policy, PolicyError};
use corelane_guard::proxies::TrustedProxies;
use corelane_guard::refusal::Challenge;
use serde::Deserialize;
use toml::Spanned;

use super::fault::{Fault, Finding};
use super::startup::StartupSections;
use super::text::{AuthText, Document, ModeText};
use super::values::{Config, ServerFacts};

/// Most names in a list of scopes, roles or audiences.
const NAMES_MAX: usize = 256;
/// Most faults that are reported.
const FINDINGS_MAX: usize = 100;
/// Most networks of a list.
const NETWORKS_MAX: usize = 256;

pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) base: &'a Path,
    pub(super) server: &'a ServerFacts,
    pub(super) files: &'a mut Vec<PathBuf>,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        text: &'a str,
        base: &'a Path,
        server: &'a ServerFacts,
        files: &'a mut Vec<PathBuf>,
    ) -> Reader<'a> {
        Reader {
            text,
            base,
            server,
            files,
            findings: Vec::new(),
        }
    }

    pub(super) fn config(mut self) -> Result<Config, Vec<Finding>> {
        let policy = Policy::parse(self.text);
        let document = toml::Deserializer::parse(self.text).and_then(Document::deserialize);
        let (auth, has_upstreams) = match document {
            Ok(document) => (document.auth, !document.upstream.is_empty()),
            Err(error) => {
                let fault = Fault::Syntax(error.message().to_owned());
                self.find(error.span().unwrap_or_default(), fault);
                (None, false)
            }
        };
        let is_open = auth
            .as_ref()
            .is_some_and(|auth| auth.mode == ModeText::None);
        let policy = Arc::new(self.policy(policy, is_open));
        let client_limits = limit::file::Limits::parse(self.text).unwrap_or_else(|error| {
            let findings = error.0.into_iter().map(|finding| Finding {
                line: finding.line,
                fault: finding.fault.into(),
            });
            self.findings.extend(findings);
            limit::file::Limits::default()
        });
        let auth = auth.unwrap_or_default();
        let warnings = self.rules(&policy, &auth, has_upstreams);
        let config = Config {
            client_limits: Arc::new(client_limits.in_folder(self.base)),
            warnings,
            ..self.auth(auth, policy)
        };
        if self.findings.is_empty() {
            return Ok(config);
        }
        self.findings.sort_by_key(|finding| finding.line);
        // Both readers find that a text is not TOML.
        self.findings.dedup_by(|one, other| {
            let same = one.fault.to_string() == other.fault.to_string();
            one.line == other.line && same
        });
        Err(self.findings)
    }

    /// The policy; without one, everything is allowed to all if nothing is authenticated.
    fn policy(&mut self, policy: Result<Policy, PolicyError>, is_open: bool) -> Policy {
        let error = match policy {
            Ok(policy) => return policy,
            Err(error) => error,
        };
        let is_absent = |finding: &policy::Finding| finding.fault == policy::Fault::Absent;
        if is_open && error.0.iter().all(is_absent) {
            return Policy::open();
        }
        let findings = error.0.into_iter().map(|finding| Finding {
            line: finding.line,
            fault: finding.fault.into(),
        });
        self.findings.extend(findings);
        Policy::default()
    }

    fn auth(&mut self, auth: AuthText, policy: Arc<Policy>) -> Config {
        if auth.mode == ModeText::None {
            self.refuse_unused(&auth);
        }
        let issuers = self.issuers(&auth.issuer);
        let denied = self.denied(&auth.revoked, &issuers);
        let api_keys = self.api_keys(&auth.api_key);
        let authorities = self.authorities(&auth.ca_files);
        let trusted_proxies = self.trusted_proxies(auth.trusted_proxies.as_ref());
        let (endpoints, resources) = self.endpoints(&auth, &policy, &issuers);
        Config {
            requires_credential: auth.mode == ModeText::Required,
            policy,
            endpoints,
            resources,
            issuers,
            api_keys: Arc::new(api_keys),
            denied: Arc::new(denied),
            trusted_proxies,
            client_limits: Arc::default(),
            authorities,
            startup: StartupSections::of(self.text),
            warnings: Vec::new(),
        }
    }

    /// The proxies that may name principals; without a list, those of this host.
    fn trusted_proxies(&mut self, list: Option<&Spanned<Vec<String>>>) -> TrustedProxies {
        const KEY: &str = "trusted_proxies";
        let Some(list) = list else {
            if self.server.has_public_header {
                self.find(0..0, Fault::NoTrustedProxies);
            }
            return TrustedProxies::default();
        };
        self.check_count(list.span(), "networks", list.get_ref().len(), NETWORKS_MAX);
        let proxies = TrustedProxies::new(KEY, list.get_ref());
        proxies.unwrap_or_else(|fault| {
            self.find(list.span(), fault);
            TrustedProxies::default()
        })
    }

    /// Compares the rules with the catalog, and finds those that hold for other identities than
    /// their author means. Returns the warnings.
    fn rules(
        &mut self,
        policy: &Policy,
        auth: &AuthText,
        has_upstreams: bool,
    ) -> Vec<policy::Finding> {
        let has_keys = !auth.api_key.is_empty();
        let ways = auth.issuer.len() + self.server.methods.len() + usize::from(has_keys);
        if ways > 1 {
            let findings = policy.subjects_of_any_method().map(|(line, name)| {
                let fault = policy::Fault::SubjectsOfAnyMethod(name.to_owned()).into();
                Finding { line, fault }
            });
            self.findings.extend(findings);
        }
        let Some(catalog) = &self.server.catalog else {
            return Vec::new();
        };
        let findings = policy.findings(&*catalog.entries).into_iter();
        let (warnings, faults): (Vec<_>, Vec<_>) =
            findings.partition(|finding| finding.is_warning || catalog.is_open || has_upstreams);
        self.findings
            .extend(faults.into_iter().map(|finding| Finding {
                line: finding.line,
                fault: finding.fault.into(),
            }));
        warnings
    }

    fn refuse_unused(&mut self, auth: &AuthText) {
        if let Some(issuer) = auth.issuer.first() {
            self.find(issuer.alias.span(), Fault::NotUsed("[[auth.issuer]]"));
        }
        if let Some(key) = auth.api_key.first() {
            self.find(key.id.span(), Fault::NotUsed("[[auth.api_key]]"));
        }
        if let Some(scopes) = &auth.scopes_required {
            self.find(scopes.span(), Fault::NotUsed("scopes_required"));
        }
        if let Some(roles) = &auth.roles_allowed {
            self.find(roles.span(), Fault::NotUsed("roles_allowed"));
        }
    }

    /// Notes a fault at a place in the text, unless there are many already.
    pub(super) fn find(&mut self, span: Range<usize>, fault: impl Into<Fault>) {
        if self.findings.len() >= FINDINGS_MAX {
            return;
        }
        self.findings.push(Finding {
            line: line_of(self.text, span.start),
            fault: fault.into(),
        });
    }

    /// Notes that a list has more elements than its bound.
    pub(super) fn check_count(
        &mut self,
        span: Range<usize>,
        of: &'static str,
        count: usize,
        max: usize,
    ) {
        if count > max {
            self.find(span, Fault::TooMany { of, count, max });
        }
    }

    /// Notes that a text that people or programs see is empty, too long or not printable.
    pub(super) fn check_text(
        &mut self,
        span: Range<usize>,
        key: &'static str,
        text: &str,
        bytes_max: usize,
    ) {
        let fits = (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control);
        if !fits {
            self.find(span, Fault::Text { key, bytes_max });
        }
    }

    /// Networks that a key names.
    pub(super) fn networks(
        &mut self,
        key: &'static str,
        list: &Spanned<Vec<String>>,
    ) -> Option<Networks> {
        let entries = list.get_ref();
        self.check_count(list.span(), "networks", entries.len(), NETWORKS_MAX);
        let networks = Networks::new(key, entries);
        networks.map_err(|fault| self.find(list.span(), fault)).ok()
    }

    /// Scopes that a key names, each of which can stand in a challenge.
    pub(super) fn scopes<'t>(&mut self, list: Option<&'t Spanned<Vec<String>>>) -> Vec<&'t str> {
        let names = self.required_scopes(list);
        if let (Some(list), Err(fault)) = (list, Challenge::new(None, &names)) {
            self.find(list.span(), fault);
        }
        names
    }

    /// Scopes that a key requires. The reader of the policy checks each of them.
    pub(super) fn required_scopes<'t>(
        &mut self,
        list: Option<&'t Spanned<Vec<String>>>,
    ) -> Vec<&'t str> {
        let Some(list) = list else {
            return Vec::new();
        };
        self.check_count(list.span(), "scopes", list.get_ref().len(), NAMES_MAX);
        list.get_ref().iter().map(String::as_str).collect()
    }
}
