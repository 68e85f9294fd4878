//! `corelane policy`: checks a policy, and explains its decisions.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use corelane::Profile;
use corelane::guard::policy::{
    Claims, Class, Decision, Entries, EntryKind, Policy, PolicyError, Subject,
};
use corelane_control::config::{ConfigError, ServerFacts};
use corelane_guard::identity::Method;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::access_file;
use crate::demo::Demo;

/// The exit code of a policy with faults, and of an entry that is denied.
const NO: u8 = 1;
/// The exit code of an entry that needs more scopes.
const ACQUIRABLE: u8 = 2;
/// The exit code of `explain` if there is no decision.
const NO_DECISION: u8 = 3;

/// The commands of `corelane policy`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a configuration, and print the entries that each role may use. Exits with 0 if there
    /// are no findings, 1 if there are.
    Check {
        /// The configuration with the policy. It is checked as a whole, as by a server with the
        /// default profile.
        #[arg(long, default_value = "corelane.toml", value_name = "FILE")]
        config: PathBuf,
        /// The catalog that the patterns must match.
        #[arg(long, value_enum, value_name = "CATALOG")]
        catalog: Option<Demo>,
    },
    /// Explain the decision about an entry and an identity: the rule with its line, and the lack.
    /// Exits with 0 if the entry is allowed, 1 if it is denied, 2 if it needs more scopes, 3 if
    /// there is no decision.
    Explain(ExplainArguments),
}

/// The arguments of `corelane policy explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArguments {
    /// The configuration with the policy.
    #[arg(long, default_value = "corelane.toml", value_name = "FILE")]
    config: PathBuf,
    /// The subject of the identity; without it, that of the claims.
    #[arg(long)]
    subject: Option<String>,
    /// A JSON file with the identity: method, subject, client, roles, groups, scopes, tenant,
    /// address. Each is optional.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    #[command(flatten)]
    entry: EntryArguments,
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct EntryArguments {
    /// The name of a tool.
    #[arg(long)]
    tool: Option<String>,
    /// The URI of a resource.
    #[arg(long)]
    resource: Option<String>,
    /// The URI template of a resource template.
    #[arg(long)]
    template: Option<String>,
    /// The name of a prompt.
    #[arg(long)]
    prompt: Option<String>,
}

/// An identity, as a file has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IdentityText {
    #[serde(deserialize_with = "method")]
    method: Option<Method>,
    issuer: Option<String>,
    subject: String,
    client: Option<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    scopes: Vec<String>,
    tenant: Option<String>,
    address: Option<IpAddr>,
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{}: {error}: name the file with --config or --claims", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}", with_path(path, error))]
    Policy { path: PathBuf, error: PolicyError },
    #[error("{0}")]
    Configuration(#[from] ConfigError),
    #[error(
        "{}: {error}: write one JSON object with method, issuer, subject, client, roles, groups, \
         scopes, tenant or address", path.display()
    )]
    Claims {
        path: PathBuf,
        error: serde_json::Error,
    },
}

fn method<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Method>, D::Error> {
    let name = String::deserialize(text)?;
    let names = Method::ALL.map(Method::name).join(", ");
    let unknown = || D::Error::custom(format!("there is no method {name:?}: use one of {names}"));
    Method::from_name(&name).map(Some).ok_or_else(unknown)
}

/// Each finding on its line, behind the path.
fn with_path(path: &Path, error: &PolicyError) -> String {
    let lines = error.0.iter().map(|it| format!("{}: {it}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs the command.
pub(crate) fn run(command: &PolicyCommand) -> ExitCode {
    let (answer, failed) = match command {
        PolicyCommand::Check { config, catalog } => (check(config, *catalog), NO),
        PolicyCommand::Explain(arguments) => (explain(arguments), NO_DECISION),
    };
    match answer {
        Ok((text, code)) => {
            print!("{text}");
            code.into()
        }
        Err(error) => {
            eprintln!("{error}");
            failed.into()
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| {
        let path = path.to_owned();
        CommandError::Read { path, error }
    })
}

fn policy(path: &Path) -> Result<Policy, CommandError> {
    Policy::parse(&read(path)?).map_err(|error| {
        let path = path.to_owned();
        CommandError::Policy { path, error }
    })
}

fn check(config: &Path, catalog: Option<Demo>) -> Result<(String, u8), CommandError> {
    let facts = ServerFacts::from(&Profile::default());
    let policy = access_file::read(config, &facts)?.policy;
    let mut text = String::new();
    let mut code = 0;
    if let Some(catalog) = catalog {
        let server = catalog.server();
        for finding in policy.findings(&server) {
            let _ = writeln!(text, "{}: {finding}", config.display());
            code = if finding.is_warning { code } else { NO };
        }
        table(&policy, &server, &mut text);
    }
    if code == 0 {
        let _ = writeln!(text, "{} is valid", config.display());
    }
    Ok((text, code))
}

/// A line for each entry, with each role alone: without scopes, tenant and address.
fn table(policy: &Policy, entries: &impl Entries, text: &mut String) {
    for kind in EntryKind::ALL {
        for place in 0..entries.count(kind) {
            let name = entries.name(kind, place);
            let roles = policy.classes_of_roles().map(|(role, class)| {
                format!(
                    "{role}: {}",
                    outcome(policy, policy.decide(&class, kind, name))
                )
            });
            let roles: Vec<String> = roles.collect();
            let _ = writeln!(text, "{kind:?} {name}: {}", roles.join(", "));
        }
    }
}

fn outcome(policy: &Policy, decision: Decision) -> String {
    match decision {
        Decision::Allowed => "allowed".to_owned(),
        Decision::Acquirable(grant) => {
            let scopes: Vec<&str> = policy.scope_names(grant).collect();
            format!("needs {}", scopes.join(" "))
        }
        Decision::ArgumentsDenied | Decision::Hidden => "hidden".to_owned(),
    }
}

fn explain(arguments: &ExplainArguments) -> Result<(String, u8), CommandError> {
    let policy = policy(&arguments.config)?;
    let mut identity = match &arguments.claims {
        None => IdentityText::default(),
        Some(path) => serde_json::from_str(&read(path)?).map_err(|error| {
            let path = path.clone();
            CommandError::Claims { path, error }
        })?,
    };
    identity.subject = arguments.subject.clone().unwrap_or(identity.subject);
    let class = class_of(&policy, &identity);
    let entry = &arguments.entry;
    let entries = [
        (EntryKind::Tool, &entry.tool),
        (EntryKind::Resource, &entry.resource),
        (EntryKind::Template, &entry.template),
        (EntryKind::Prompt, &entry.prompt),
    ];
    let (mut text, mut code) = (String::new(), NO_DECISION);
    for (kind, name) in entries {
        let Some(name) = name else { continue };
        let explanation = policy.explain(&class, kind, name);
        let roles: Vec<&str> = policy.role_names(&class).collect();
        let _ = writeln!(text, "{explanation}\nroles: {}", roles.join(" "));
        code = match explanation.decision {
            Decision::Allowed => 0,
            Decision::Acquirable(_) => ACQUIRABLE,
            Decision::ArgumentsDenied | Decision::Hidden => NO,
        };
    }
    Ok((text, code))
}

/// An identity without a method has a token, unless it has no subject either.
fn class_of(policy: &Policy, identity: &IdentityText) -> Class {
    let roles: Vec<&str> = identity.roles.iter().map(String::as_str).collect();
    let groups: Vec<&str> = identity.groups.iter().map(String::as_str).collect();
    let scopes = policy.scopes_of(identity.scopes.iter().map(String::as_str));
    let method = identity
        .method
        .unwrap_or(match identity.subject.is_empty() {
            true => Method::Anonymous,
            false => Method::Jwt,
        });
    let tenant = identity.tenant.as_deref();
    let claims = Claims {
        method,
        issuer: identity.issuer.as_deref().unwrap_or_default(),
        subject: &identity.subject,
        client: identity.client.as_deref(),
        claim_roles: &roles,
        groups: &groups,
        scopes,
        tenant,
    };
    let roles = policy.roles_of(&claims);
    let address = identity.address;
    policy.class_of(&Subject {
        scopes,
        roles,
        tenant,
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[auth]
resource = "https://mcp.example.com/mcp"
[[auth.issuer]]
alias = "corp"
issuer = "https://login.example.com"
roles_claim = "roles"
[[role]]
name = "ops"
claim_roles = ["platform-ops"]
[[grant]]
role = "ops"
tools = ["echo"]
[[grant]]
role = "ops"
tools = ["sl*"]
scopes = ["mcp:write"]
"#;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[test]
    fn a_policy_is_checked_against_the_demo() {
        let (_directory, path) = file(POLICY);
        let (text, code) = check(&path, Some(Demo::Basic)).unwrap();
        assert_eq!(code, 0);
        assert!(
            text.contains("Tool echo: anonymous: hidden, ops: allowed\n"),
            "{text}"
        );
        assert!(
            text.contains("Tool sleep: anonymous: hidden, ops: needs mcp:write\n"),
            "{text}"
        );
        assert!(
            text.contains("Resource demo://about: anonymous: hidden, ops: hidden\n"),
            "{text}"
        );

        let (_directory, path) = file(&POLICY.replace("echo", "eco"));
        let (text, code) = check(&path, Some(Demo::Basic)).unwrap();
        assert_eq!(code, NO);
        let expected = format!("{}: line 13: pattern \"eco\" matches no", path.display());
        assert!(text.contains(&expected), "{text}");
        assert!(!text.contains("is valid"));
        assert_eq!(check(&path, None).unwrap().1, 0);

        let (_directory, path) = file(&POLICY.replace("tools", "tool"));
        let error = check(&path, None).unwrap_err().to_string();
        let expected = format!("{}: line 13: unknown field `tool`", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn an_unknown_method_is_refused() {
        let error = serde_json::from_str::<IdentityText>(r#"{"method": "JWT"}"#).unwrap_err();
        let expected = "there is no method \"JWT\": use one of jwt, ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_decision_is_explained() {
        let (_directory, config) = file(POLICY);
        let roles = r#""subject": "me", "roles": ["platform-ops"]"#;
        for (claims, tool, code, expected) in [
            (
                format!("{{{roles}}}"),
                "echo",
                0,
                "allowed: by the grant at line 12\nroles: ops\n",
            ),
            (
                format!("{{{roles}}}"),
                "sleep",
                ACQUIRABLE,
                "acquirable: the grant at line 15 needs scopes mcp:write\nroles: ops\n",
            ),
            (
                format!("{{{roles}, \"scopes\": [\"mcp:write\"]}}"),
                "sleep",
                0,
                "allowed: ",
            ),
            (
                "{}".to_owned(),
                "echo",
                NO,
                "hidden: the grant at line 12 for role \"ops\"",
            ),
            (
                format!("{{{roles}}}"),
                "add",
                NO,
                "hidden: no grant has the entry\nroles: ops\n",
            ),
        ] {
            let (_directory, claims) = file(&claims);
            let arguments = ExplainArguments {
                config: config.clone(),
                subject: None,
                claims: Some(claims),
                entry: EntryArguments {
                    tool: Some(tool.to_owned()),
                    resource: None,
                    template: None,
                    prompt: None,
                },
            };
            let (text, found) = explain(&arguments).unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(found, code, "{text}");
        }
    }
}
