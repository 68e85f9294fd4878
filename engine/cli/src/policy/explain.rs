//! `corelane policy explain`: the decision about an entry and an identity, with its reason.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use corelane::guard::policy::{
    Argument, Claims, Class, Decision, Entries, EntryKind, Policy, Subject,
};
use corelane_guard::identity::Method;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::listing::{Catalog, Listing};
use super::reading::{ACQUIRABLE, CommandError, NO, policy, read};

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
    /// The arguments of a call of the tool, as a JSON object: conditions are compared with them.
    #[arg(long, value_name = "JSON", requires = "tool", value_parser = members)]
    arguments: Option<Map<String, Value>>,
    /// The catalog that must have the entry: the name of a demo, or a file with the output of
    /// `corelane list all TARGET --json`.
    #[arg(long, value_name = "CATALOG")]
    catalog: Option<Catalog>,
}

fn members(text: &str) -> Result<Map<String, Value>, String> {
    let example = r#"write an object such as {"limit": 5}"#;
    serde_json::from_str(text).map_err(|error| format!("{error}: {example}"))
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

impl EntryArguments {
    /// The command line has exactly one of them.
    fn kind_and_name(&self) -> (EntryKind, &str) {
        let entries = [
            (EntryKind::Tool, &self.tool),
            (EntryKind::Resource, &self.resource),
            (EntryKind::Template, &self.template),
            (EntryKind::Prompt, &self.prompt),
        ];
        let mut given = entries
            .iter()
            .filter_map(|(kind, name)| Some((*kind, name.as_deref()?)));
        given.next().unwrap_or((EntryKind::Tool, ""))
    }
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

fn method<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Method>, D::Error> {
    let name = String::deserialize(text)?;
    let names = Method::ALL.map(Method::name).join(", ");
    let unknown = || D::Error::custom(format!("there is no method {name:?}: use one of {names}"));
    Method::from_name(&name).map(Some).ok_or_else(unknown)
}

/// Runs the command: what to print, and the exit code.
pub(super) fn explain(arguments: &ExplainArguments) -> Result<(String, u8), CommandError> {
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
    let (kind, name) = arguments.entry.kind_and_name();
    if let Some(catalog) = &arguments.catalog {
        has_entry(&catalog.load()?, kind, name)?;
    }
    let explanation = match &arguments.arguments {
        Some(members) => {
            let read = |member: &str| members.get(member).map(argument);
            policy.explain_call(&class, name, &read)
        }
        None => policy.explain(&class, kind, name),
    };
    let roles: Vec<&str> = policy.role_names(&class).collect();
    let text = format!("{explanation}\nroles: {}\n", roles.join(" "));
    let code = match explanation.decision {
        Decision::Allowed => 0,
        Decision::Acquirable(_) => ACQUIRABLE,
        Decision::ArgumentsDenied | Decision::Hidden => NO,
    };
    Ok((text, code))
}

/// A server answers that an entry is unknown before it looks at the policy. A resource may come of
/// a template, so its URI need not stand in the catalog.
fn has_entry(catalog: &Listing, kind: EntryKind, name: &str) -> Result<(), CommandError> {
    let mut names = (0..catalog.count(kind)).map(|place| catalog.name(kind, place));
    match kind == EntryKind::Resource || names.any(|other| other == name) {
        true => Ok(()),
        false => Err(CommandError::Unknown {
            kind,
            name: name.to_owned(),
        }),
    }
}

/// A member of the arguments, as a server compares it.
fn argument(value: &Value) -> Argument<'_> {
    match value {
        Value::String(text) => Argument::Text(text),
        Value::Bool(boolean) => Argument::Boolean(*boolean),
        Value::Number(number) => Argument::of_number(number.as_i64(), number.as_f64()),
        _ => Argument::Other,
    }
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
    use super::super::reading::samples::{POLICY, file};
    use super::*;

    fn of_tool(name: &str) -> EntryArguments {
        EntryArguments {
            tool: Some(name.to_owned()),
            resource: None,
            template: None,
            prompt: None,
        }
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
                entry: of_tool(tool),
                arguments: None,
                catalog: None,
            };
            let (text, found) = explain(&arguments).unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(found, code, "{text}");
        }
    }

    #[test]
    fn arguments_and_the_catalog_take_part() {
        let conditions = r#"arguments = [{ name = "ms", max = 10 }]"#;
        let text = POLICY.replace("scopes = [\"mcp:write\"]", conditions);
        let deny = r#"[[deny]]
role = "ops"
tools = ["sleep"]
arguments = [{ name = "why", equals = "idle" }]
"#;
        let (_directory, config) = file(&format!("{text}{deny}"));
        let (_kept, claims) = file(r#"{"subject": "me", "roles": ["platform-ops"]}"#);
        let of = |arguments: Option<&str>, tool: &str| ExplainArguments {
            config: config.clone(),
            subject: None,
            claims: Some(claims.clone()),
            entry: of_tool(tool),
            arguments: arguments.map(|text| members(text).unwrap()),
            catalog: Some("basic".parse().unwrap()),
        };
        for (arguments, code, expected) in [
            (
                None,
                0,
                "allowed: by the grant at line 15, if its arguments hold\n",
            ),
            (
                Some(r#"{"ms": 10.0}"#),
                0,
                "allowed: by the grant at line 15\n",
            ),
            (
                Some(r#"{"ms": 11}"#),
                NO,
                "denied: the arguments do not hold for the grant at line 15\n",
            ),
            (
                Some(r#"{"ms": 1, "why": "idle"}"#),
                NO,
                "denied: the deny at line 19 has these arguments\n",
            ),
        ] {
            let (text, found) = explain(&of(arguments, "sleep")).unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(found, code, "{text}");
        }
        let error = explain(&of(None, "slip")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the catalog has no tool \"slip\": no policy can allow it"
        );
        assert!(members("5").unwrap_err().contains("write an object"));
    }
}
