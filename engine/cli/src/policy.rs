//! `corelane policy`: checks a policy, and explains its decisions.

mod explain;
mod listing;
mod reading;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use corelane::guard::policy::{Class, Decision, Entries, EntryKind, Policy};
use corelane::{Profile, Server};
use corelane_control::config::ServerFacts;

use crate::access_file;
use explain::ExplainArguments;
use listing::Catalog;
use reading::{CommandError, NO};

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
        /// The catalog that the patterns must match: the name of a demo, or a file with the output
        /// of `corelane list all TARGET --json`.
        #[arg(long, value_name = "CATALOG")]
        catalog: Option<Catalog>,
    },
    /// Explain the decision about an entry and an identity: the rule with its line, and the lack.
    /// Exits with 0 if the entry is allowed, 1 if it is denied, 2 if it needs more scopes, 3 if
    /// there is no decision.
    Explain(Box<ExplainArguments>),
}

/// Runs the command.
pub(crate) fn run(command: &PolicyCommand) -> ExitCode {
    let (answer, failed) = match command {
        PolicyCommand::Check { config, catalog } => (check(config, catalog.as_ref()), NO),
        PolicyCommand::Explain(arguments) => (explain::explain(arguments), NO_DECISION),
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

fn check(config: &Path, catalog: Option<&Catalog>) -> Result<(String, u8), CommandError> {
    let facts = ServerFacts::from(&Profile::default());
    let policy = access_file::read(config, &facts)?.policy;
    Server::check_access_file(config)?;
    let mut text = String::new();
    let mut code = 0;
    if let Some(catalog) = catalog {
        let entries = catalog.load()?;
        for finding in policy.findings(&entries) {
            let _ = writeln!(text, "{}: {finding}", config.display());
            code = if finding.is_warning { code } else { NO };
        }
        table(&policy, &entries, &mut text);
    }
    if code == 0 {
        let _ = writeln!(text, "{} is valid", config.display());
    }
    Ok((text, code))
}

/// A line for each entry, with each role alone: without scopes, tenant, address and arguments. What
/// would decide otherwise with them stands behind the decision.
fn table(policy: &Policy, entries: &impl Entries, text: &mut String) {
    for kind in EntryKind::ALL {
        for place in 0..entries.count(kind) {
            let name = entries.name(kind, place);
            let roles = policy.classes_of_roles().map(|(role, class)| {
                let decision = outcome(policy, policy.decide(&class, kind, name));
                let conditions = conditions(policy, &class, kind, name);
                format!("{role}: {decision}{conditions}")
            });
            let roles: Vec<String> = roles.collect();
            let _ = writeln!(text, "{kind:?} {name}: {}", roles.join(", "));
        }
    }
}

/// What the decision depends on beside the role, such as " (by tenant, line 12)".
fn conditions(policy: &Policy, class: &Class, kind: EntryKind, name: &str) -> String {
    let found = policy.conditions_beside_role(class, kind, name);
    let texts = found
        .iter()
        .map(|(line, what)| format!("by {what}, line {line}"));
    let texts: Vec<String> = texts.collect();
    match texts.is_empty() {
        true => String::new(),
        false => format!(" ({})", texts.join("; ")),
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

#[cfg(test)]
mod tests {
    use super::reading::samples::{POLICY, file};
    use super::*;

    fn basic() -> Catalog {
        "basic".parse().unwrap()
    }

    #[test]
    fn the_table_marks_what_decides_beside_a_role() {
        let text = POLICY
            .replace(
                "tools = [\"echo\"]",
                "tools = [\"echo\"]\ntenant = \"acme\"",
            )
            .replace(
                "scopes = [\"mcp:write\"]",
                "arguments = [{ name = \"ms\", max = 9 }]",
            )
            .replace("roles_claim", "tenant_claim = \"tenant\"\nroles_claim");
        let deny = "[[deny]]\nrole = \"ops\"\ntools = [\"sleep\"]\n\
            addresses = [\"10.0.0.0/8\"]\n";
        let (_directory, path) = file(&format!("{text}{deny}"));
        let (text, _) = check(&path, Some(&basic())).unwrap();
        for line in [
            "Tool echo: anonymous: hidden, ops: hidden (by tenant, line 13)\n",
            "Tool sleep: anonymous: hidden, \
             ops: hidden (by arguments, line 17; by address, line 21)\n",
            "Tool add: anonymous: hidden, ops: hidden\n",
        ] {
            assert!(text.contains(line), "{text}");
        }

        let text = "[auth]\nresource = \"https://mcp.example.com/mcp\"\n[[auth.issuer]]\n\
            alias = \"corp\"\nissuer = \"https://login.example.com\"\n\
            [policy]\ndefault = \"authenticated\"\n";
        let (_directory, path) = file(text);
        let (text, _) = check(&path, Some(&basic())).unwrap();
        let line = "Tool echo: anonymous: hidden, (no role): allowed\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_catalog_is_read_from_the_output_of_list() {
        let (_directory, path) = file(POLICY);
        let listed = r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}},
            {"name":"sluice","inputSchema":{}}],"resources":[{"uri":"a://b","name":"b"}]}"#;
        let (_kept, listing) = file(listed);
        let catalog: Catalog = listing.to_str().unwrap().parse().unwrap();
        let (text, code) = check(&path, Some(&catalog)).unwrap();
        assert_eq!(code, 0, "{text}");
        assert!(
            text.contains("Tool sluice: anonymous: hidden, ops: needs mcp:write\n"),
            "{text}"
        );
        assert!(
            text.contains("Resource a://b: anonymous: hidden, ops: hidden\n"),
            "{text}"
        );

        std::fs::write(&listing, "[]").unwrap();
        let error = check(&path, Some(&catalog)).unwrap_err().to_string();
        assert!(error.contains("corelane list all TARGET --json"), "{error}");
    }

    #[test]
    fn the_sections_of_the_server_are_checked_too() {
        for (section, expected) in [
            (
                "[audit]\ndirectory = \"a\"\nqueue_bytes = 1\n",
                "queue_bytes",
            ),
            (
                "[pins]\nfile = \"absent.pins\"\non_mismatch = \"refuse\"\n",
                "absent.pins",
            ),
        ] {
            let (_directory, path) = file(&format!("{POLICY}{section}"));
            let error = check(&path, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_policy_is_checked_against_the_demo() {
        let (_directory, path) = file(POLICY);
        let (text, code) = check(&path, Some(&basic())).unwrap();
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
        let (text, code) = check(&path, Some(&basic())).unwrap();
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
}
