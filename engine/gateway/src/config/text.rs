//! The text of the sections, and how each part is checked.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use corelane_guard::finding::TextChecker;
use corelane_guard::policy::NamePattern;
use serde::Deserialize;
use toml::Spanned;

use super::child::{Child, ChildLimits, INHERITED};
use super::credential::{Credential, CredentialText};
use super::fault::{Fault, UpstreamsError};
use super::fields::{FIELDS_NOT_FORWARDED, checked_credential_field, checked_field};
use super::target::Target;
use super::{ADDRESSES_MAX, UPSTREAMS_MAX};
use super::{ClientCertificate, Era, Filter, OnChange, Questions, Sessions, ToolOverride};
use super::{Upstream, Value};
use crate::names::Naming;
use crate::uris::is_scheme;

const NAME_CHARS_MAX: usize = 32;
const PREFIX_CHARS_MAX: usize = 24;
const EXPOSED_CHARS_MAX: usize = 64;
const PROCESSES_MAX: u16 = 64;
/// Fields that have secrets by their names.
const SECRET_FIELDS: [&str; 5] = ["key", "token", "secret", "password", "auth"];

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    upstream: Vec<UpstreamText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamText {
    name: Spanned<String>,
    url: Option<Spanned<String>>,
    urls: Option<Spanned<Vec<Spanned<String>>>>,
    command: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    insecure_http: bool,
    #[serde(default)]
    ca_files: Vec<Spanned<PathBuf>>,
    client_cert: Option<Spanned<PathBuf>>,
    client_key: Option<Spanned<PathBuf>>,
    #[serde(default)]
    era: Era,
    #[serde(default)]
    sessions: Sessions,
    prefix: Option<Spanned<String>>,
    #[serde(default)]
    uris: UrisText,
    #[serde(default)]
    schemes: Vec<Spanned<String>>,
    tools: Option<FilterText>,
    #[serde(default)]
    pins: OnChange,
    credential: Option<Spanned<CredentialText>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    forward_headers: Vec<Spanned<String>>,
    #[serde(default)]
    trust_annotations: bool,
    #[serde(default)]
    questions: Questions,
    cwd: Option<Spanned<PathBuf>>,
    #[serde(default)]
    env: BTreeMap<String, Spanned<String>>,
    inherit_env: Option<Vec<Spanned<String>>>,
    limits: Option<Spanned<ChildLimits>>,
    processes: Option<Spanned<u16>>,
    idle_stop_ms: Option<Spanned<u64>>,
    #[serde(default)]
    tool: Vec<ToolText>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum UrisText {
    #[default]
    Verbatim,
    Namespaced,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterText {
    #[serde(default)]
    include: Vec<Spanned<String>>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolText {
    #[serde(rename = "match")]
    original: Spanned<String>,
    name: Option<Spanned<String>>,
    title: Option<Box<str>>,
    description: Option<Box<str>>,
    #[serde(default)]
    fixed: serde_json::Map<String, serde_json::Value>,
}

/// Reads the sections.
pub(super) fn parse(text: &str) -> Result<Vec<Upstream>, UpstreamsError> {
    let (faults, document) = TextChecker::read::<Document>(text, Fault::Syntax)?;
    let mut checker = Checker {
        faults,
        names: HashSet::new(),
    };
    let mut upstreams = Vec::new();
    for (number, upstream) in document.upstream.into_iter().enumerate() {
        if number == UPSTREAMS_MAX {
            checker.find(upstream.name.span().start, Fault::TooMany);
            break;
        }
        upstreams.extend(checker.upstream(upstream));
    }
    checker.faults.finish(upstreams)
}

struct Checker<'a> {
    faults: TextChecker<'a, Fault>,
    names: HashSet<String>,
}

impl Checker<'_> {
    fn find(&mut self, place: usize, fault: Fault) {
        self.faults.find(place, fault);
    }

    fn take<T, V>(
        &mut self,
        part: Spanned<T>,
        check: impl FnOnce(T) -> Result<V, Fault>,
    ) -> Option<V> {
        self.faults.take(part, check)
    }

    fn upstream(&mut self, mut text: UpstreamText) -> Option<Upstream> {
        let at = text.name.span().start;
        let name = self.take(text.name.clone(), checked_name)?;
        if !self.names.insert(name.clone()) {
            self.find(at, Fault::NameTwice(name.clone()));
        }
        let targets = self.targets(&mut text, at);
        self.check_fields(&text, &targets);
        let client_certificate = self.client_certificate(&text);
        let at_credential = text.credential.as_ref().map_or(at, |it| it.span().start);
        let credential = self.credential(text.credential.take(), &text.headers);
        if let Some(Credential::TokenExchange(..)) = &credential {
            let is_http = |it: &Target| matches!(it, Target::Http { is_sse: false, .. });
            if !targets.iter().all(is_http) {
                self.find(at_credential, Fault::ExchangeTarget);
            } else if text.sessions == Sessions::Shared {
                self.find(at_credential, Fault::SharedExchange);
            }
        }
        let mut naming = Naming {
            upstream: name.clone().into(),
            prefix: self.prefix(text.prefix, &name),
            ..Naming::default()
        };
        let overrides = self.overrides(text.tool, &mut naming);
        let tools = text.tools.map(|tools| Filter {
            include: self.patterns(tools.include),
            exclude: self.patterns(tools.exclude),
        });
        let headers = self.headers(text.headers);
        let of_credential = credential.as_ref().map(|it| it.field().into());
        let set: Vec<Box<str>> = headers.keys().cloned().chain(of_credential).collect();
        Some(Upstream {
            name: name.into(),
            targets,
            ca_files: text.ca_files.into_iter().map(Spanned::into_inner).collect(),
            client_certificate,
            is_required: text.required,
            era: text.era,
            sessions: text.sessions,
            naming,
            has_namespaced_uris: text.uris == UrisText::Namespaced,
            schemes: self.schemes(text.schemes),
            tools: tools.unwrap_or_default(),
            overrides,
            pins: text.pins,
            forwarded_headers: self.forwarded(text.forward_headers, &set),
            credential,
            headers,
            trusts_annotations: text.trust_annotations,
            questions: text.questions,
        })
    }

    fn targets(&mut self, text: &mut UpstreamText, at: usize) -> Vec<Target> {
        let allows_http = text.insecure_http;
        let urls = match (text.url.take(), text.urls.take(), text.command.take()) {
            (Some(url), None, None) => vec![url],
            (None, Some(urls), None) => {
                let start = urls.span().start;
                let urls = urls.into_inner();
                if !(1..=ADDRESSES_MAX).contains(&urls.len()) {
                    self.find(start, Fault::Addresses);
                }
                urls
            }
            (None, None, Some(command)) => {
                return self
                    .child(command, text)
                    .map(Target::Child)
                    .into_iter()
                    .collect();
            }
            _ => {
                self.find(at, Fault::Place);
                return Vec::new();
            }
        };
        self.refuse_child_keys(text);
        let targets = urls
            .into_iter()
            .filter_map(|url| self.take(url, |url| Ok(Target::parse(&url, allows_http)?)));
        targets.collect()
    }

    fn child(&mut self, command: Spanned<Vec<String>>, text: &mut UpstreamText) -> Option<Child> {
        let is_shared = text.sessions == Sessions::Shared;
        let processes = text.processes.take().and_then(|processes| {
            self.take(processes, |processes| match processes {
                0 => Err(Fault::ProcessCount),
                processes if processes > PROCESSES_MAX => Err(Fault::ProcessCount),
                1 => Ok(1),
                processes if is_shared => Ok(processes),
                processes => Err(Fault::Processes(processes)),
            })
        });
        let inherited = text.inherit_env.take();
        let inherited = match inherited {
            None => INHERITED.map(Box::from).to_vec(),
            Some(names) => {
                let names = names.into_iter();
                let names = names.filter_map(|name| self.take(name, checked_variable));
                names.collect()
            }
        };
        let environment = std::mem::take(&mut text.env).into_iter();
        let environment = environment.filter_map(|(name, value)| {
            self.take(value, |value| {
                let name = checked_variable(name)?;
                match value.contains('\0') {
                    true => Err(Fault::FieldValue(name.into())),
                    false => Ok((name, Value::parse(&value))),
                }
            })
        });
        let environment = environment.collect();
        self.take(command, |command| {
            let is_program = command.first().is_some_and(|program| !program.is_empty());
            let is_clean = command.iter().all(|part| !part.contains('\0'));
            match is_program && is_clean {
                true => Ok(command.into_iter().map(String::into_boxed_str).collect()),
                false => Err(Fault::Command),
            }
        })
        .map(|command| Child {
            command,
            directory: text.cwd.take().map(Spanned::into_inner),
            environment,
            inherited,
            limits: text
                .limits
                .take()
                .map(Spanned::into_inner)
                .unwrap_or_default(),
            processes: processes.unwrap_or(1),
            idle_stop_ms: text.idle_stop_ms.take().map_or(0, Spanned::into_inner),
        })
    }

    /// An upstream at an address has no keys of a program.
    fn refuse_child_keys(&mut self, text: &UpstreamText) {
        let environment = text.env.values().next().map(|it| it.span().start);
        let inherited = text.inherit_env.iter().flatten().next();
        for (key, at) in [
            ("cwd", text.cwd.as_ref().map(|it| it.span().start)),
            ("env", environment),
            ("inherit_env", inherited.map(|it| it.span().start)),
            ("limits", text.limits.as_ref().map(|it| it.span().start)),
            (
                "processes",
                text.processes.as_ref().map(|it| it.span().start),
            ),
            (
                "idle_stop_ms",
                text.idle_stop_ms.as_ref().map(|it| it.span().start),
            ),
        ] {
            if let Some(at) = at {
                self.find(at, Fault::NoProgram(key));
            }
        }
    }

    fn client_certificate(&mut self, text: &UpstreamText) -> Option<ClientCertificate> {
        match (&text.client_cert, &text.client_key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate_file: certificate.get_ref().clone(),
                key_file: key.get_ref().clone(),
            }),
            (Some(one), None) | (None, Some(one)) => {
                self.find(one.span().start, Fault::CertificateWithoutKey);
                None
            }
            (None, None) => None,
        }
    }

    /// An upstream of lines has no header fields, and one without TLS no certificate.
    fn check_fields(&mut self, text: &UpstreamText, targets: &[Target]) {
        let files = [("client_cert", text.client_cert.as_ref())].into_iter();
        let files = files.chain([("ca_files", text.ca_files.first())]);
        if !targets.iter().any(Target::has_tls) {
            for (key, file) in files {
                if let Some(file) = file {
                    self.find(file.span().start, Fault::NoTls(key));
                }
            }
        }
        if targets.is_empty() || targets.iter().any(Target::has_fields) {
            return;
        }
        if let Some(credential) = &text.credential {
            self.find(credential.span().start, Fault::NoFields("credential"));
        }
        if let Some(value) = text.headers.values().next() {
            self.find(value.span().start, Fault::NoFields("headers"));
        }
        if let Some(field) = text.forward_headers.first() {
            self.find(field.span().start, Fault::NoFields("forward_headers"));
        }
    }

    fn prefix(&mut self, prefix: Option<Spanned<String>>, name: &str) -> Box<str> {
        let Some(prefix) = prefix else {
            return format!("{name}_").into();
        };
        let prefix = self.take(prefix, |prefix| {
            match prefix.len() <= PREFIX_CHARS_MAX && prefix.bytes().all(is_name_byte) {
                true => Ok(prefix.into()),
                false => Err(Fault::Prefix(prefix)),
            }
        });
        prefix.unwrap_or_default()
    }

    fn overrides(
        &mut self,
        tools: Vec<ToolText>,
        naming: &mut Naming,
    ) -> BTreeMap<Box<str>, ToolOverride> {
        let mut overrides = BTreeMap::new();
        for tool in tools {
            let at = tool.original.span().start;
            let original: Box<str> = tool.original.into_inner().into();
            let name = tool.name.and_then(|name| {
                self.take(name, |name| {
                    let is_short = (1..=EXPOSED_CHARS_MAX).contains(&name.len());
                    match is_short && name.bytes().all(is_name_byte) {
                        true => Ok(Box::from(name)),
                        false => Err(Fault::ExposedName(name)),
                    }
                })
            });
            if let Some(name) = name {
                naming.renamed.insert(original.clone(), name);
            }
            let new = ToolOverride {
                title: tool.title,
                description: tool.description,
                fixed: tool.fixed,
            };
            if overrides.insert(original.clone(), new).is_some() {
                self.find(at, Fault::ToolTwice(original.into()));
            }
        }
        overrides
    }

    fn patterns(&mut self, patterns: Vec<Spanned<String>>) -> Vec<NamePattern> {
        let patterns = patterns.into_iter().filter_map(|pattern| {
            self.take(pattern, |pattern| {
                NamePattern::parse(&pattern).map_err(|defect| Fault::Pattern(pattern, defect))
            })
        });
        patterns.collect()
    }

    fn schemes(&mut self, schemes: Vec<Spanned<String>>) -> Vec<Box<str>> {
        let schemes = schemes.into_iter().filter_map(|scheme| {
            self.take(scheme, |scheme| match is_scheme(&scheme) {
                true => Ok(Box::from(scheme.to_ascii_lowercase())),
                false => Err(Fault::Scheme(scheme)),
            })
        });
        schemes.collect()
    }

    fn headers(&mut self, headers: BTreeMap<String, Spanned<String>>) -> BTreeMap<Box<str>, Value> {
        let headers = headers.into_iter().filter_map(|(name, value)| {
            self.take(value, |value| {
                let name = checked_field(name)?;
                if value.chars().any(char::is_control) {
                    return Err(Fault::FieldValue(name.into()));
                }
                let value = Value::parse(&value);
                let is_secret = SECRET_FIELDS.iter().any(|part| name.contains(part));
                match (is_secret, &value) {
                    (true, Value::Plain(_)) => Err(Fault::InlineSecret(name.into())),
                    _ => Ok((name, value)),
                }
            })
        });
        headers.collect()
    }

    /// The credential, whose field is in no other place.
    fn credential(
        &mut self,
        text: Option<Spanned<CredentialText>>,
        headers: &BTreeMap<String, Spanned<String>>,
    ) -> Option<Credential> {
        self.take(text?, |text| {
            let credential = text.check(checked_credential_field)?;
            let field = credential.as_ref().map_or("", Credential::field);
            match headers.keys().find(|name| name.eq_ignore_ascii_case(field)) {
                Some(name) => Err(Fault::FieldTwice(name.clone())),
                None => Ok(credential),
            }
        })?
    }

    /// Fields of clients; none of them is set by this server.
    fn forwarded(&mut self, fields: Vec<Spanned<String>>, set: &[Box<str>]) -> Vec<Box<str>> {
        let fields = fields.into_iter();
        let fields = fields.filter_map(|field| {
            self.take(field, |name| {
                let name = checked_field(name)?;
                match FIELDS_NOT_FORWARDED.contains(&&*name) {
                    true => Err(Fault::Field(name.into())),
                    false if set.contains(&name) => Err(Fault::FieldTwice(name.into())),
                    false => Ok(name),
                }
            })
        });
        fields.collect()
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

fn checked_name(name: String) -> Result<String, Fault> {
    let is_in = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_length = (1..=NAME_CHARS_MAX).contains(&name.len());
    match is_length && !name.starts_with('-') && name.bytes().all(is_in) {
        true => Ok(name),
        false => Err(Fault::Name(name)),
    }
}

fn checked_variable(name: String) -> Result<Box<str>, Fault> {
    let is_start = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match is_start && name.bytes().all(is_in) {
        true => Ok(name.into()),
        false => Err(Fault::Variable(name)),
    }
}
