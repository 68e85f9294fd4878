//! `corelane inspect`: describes a server, or one of its tools, and warns of its faults.

use std::time::Instant;

use clap::Args;
use corelane_client::{Client, Era, Error, Tool};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::connection::ConnectionArguments;
use super::failure::Failure;
use super::output::{Output, table};
use super::tool_arguments::unknown;

/// The most resources that are read to see whether they can be.
const READS_MAX: usize = 64;
/// The longest name of a tool that every client takes, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The arguments of `corelane inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// Describe this tool.
    tool: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// The description of a server, with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    /// The name that the server has for itself.
    name: String,
    /// Its version.
    version: String,
    /// Its name for people.
    title: Option<String>,
    /// `modern` or `legacy`.
    era: &'static str,
    /// The revision that both sides speak.
    revision: String,
    /// The capabilities, as the server declares them.
    capabilities: Value,
    /// Hints on its use.
    instructions: Option<String>,
    /// How many tools there are; null if there is no list of them.
    tools: Option<usize>,
    /// How many resources there are.
    resources: Option<usize>,
    /// How many templates there are.
    templates: Option<usize>,
    /// How many prompts there are.
    prompts: Option<usize>,
    /// How long the lists took, in milliseconds.
    list_ms: f64,
    /// Faults of the server.
    warnings: Vec<String>,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &InspectArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    if let Some(name) = &command.tool {
        return print_tool(command, client, name, output).await;
    }
    let report = report(client).await?;
    if command.connection.json || command.connection.raw {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from)?;
        return Ok(output.line(&text)?);
    }
    let count = |count: Option<usize>| count.map_or("none".to_owned(), |it| it.to_string());
    let capabilities = report.capabilities.as_object();
    let capabilities: Vec<&str> = capabilities
        .into_iter()
        .flat_map(|all| all.keys().map(String::as_str))
        .collect();
    let rows = [
        ("server", format!("{} {}", report.name, report.version)),
        ("revision", format!("{} ({})", report.revision, report.era)),
        ("capabilities", capabilities.join(" ")),
        ("tools", count(report.tools)),
        ("resources", count(report.resources)),
        ("templates", count(report.templates)),
        ("prompts", count(report.prompts)),
        ("lists took", format!("{:.1} ms", report.list_ms)),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    output.text(&table(&rows))?;
    if let Some(instructions) = &report.instructions {
        output.line(&format!("\n{instructions}"))?;
    }
    for warning in &report.warnings {
        output.line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

async fn report(client: &Client) -> Result<Report, Failure> {
    let start = Instant::now();
    let tools = known(client, "tools", client.tools()).await?;
    let resources = known(client, "resources", client.resources()).await?;
    let templates = known(client, "resources", client.templates()).await?;
    let prompts = known(client, "prompts", client.prompts()).await?;
    let list_ms = start.elapsed().as_secs_f64() * 1000.0;
    let mut warnings = client.warnings();
    warnings.extend(tools.iter().flatten().flat_map(faults_of_tool));
    for resource in resources.iter().flatten().take(READS_MAX) {
        match client.read(&resource.uri).await {
            Err(Error::Refused(error)) => {
                warnings.push(format!(
                    "resource {:?} cannot be read: {error}",
                    resource.uri
                ));
            }
            other => drop(other?),
        }
    }
    let server = client.server();
    Ok(Report {
        name: server.name.clone(),
        version: server.version.clone(),
        title: server.title.clone(),
        era: match client.era() {
            Era::Modern => "modern",
            _ => "legacy",
        },
        revision: client.revision().as_str().to_owned(),
        capabilities: client.capabilities().clone(),
        instructions: client.instructions().map(str::to_owned),
        tools: tools.map(|all| all.len()),
        resources: resources.map(|all| all.len()),
        templates: templates.map(|all| all.len()),
        prompts: prompts.map(|all| all.len()),
        list_ms,
        warnings,
    })
}

/// A list, if the server declares it and has it.
async fn known<T>(
    client: &Client,
    capability: &str,
    list: impl Future<Output = Result<Vec<T>, Error>>,
) -> Result<Option<Vec<T>>, Error> {
    if client.capabilities().get(capability).is_none() {
        return Ok(None);
    }
    match list.await {
        Ok(list) => Ok(Some(list)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn faults_of_tool(tool: &Tool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut add = |fault: String| faults.push(format!("tool {:?} {fault}", tool.name));
    let chars = tool.name.chars().count();
    if chars > NAME_CHARS_MAX {
        add(format!(
            "has a name of {chars} characters: some clients take {NAME_CHARS_MAX}"
        ));
    }
    // MCP 2025-11-25 server/tools, "Tool Names".
    let is_valid = |it: char| it.is_ascii_alphanumeric() || "_-./".contains(it);
    if tool.name.is_empty() || !tool.name.chars().all(is_valid) {
        add("has a name with other characters than letters, digits, _ - . and /".to_owned());
    }
    if tool
        .description
        .as_deref()
        .unwrap_or_default()
        .trim()
        .is_empty()
    {
        add("has no description: a model cannot know its use".to_owned());
    }
    let schemas = [Some(&tool.input_schema), tool.output_schema.as_ref()];
    for schema in schemas.into_iter().flatten() {
        let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
        if schema["type"] != "object" {
            add("has a schema that is not of an object".to_owned());
        }
        if let Err(fault) = jsonschema::validator_for(&schema) {
            add(format!("has an invalid schema: {fault}"));
        }
    }
    faults
}

async fn print_tool(
    command: &InspectArguments,
    client: &Client,
    name: &str,
    output: &Output,
) -> Result<(), Failure> {
    let tools = client.tools().await?;
    let tool = tools.iter().find(|tool| tool.name == name);
    let tool = tool.ok_or_else(|| {
        let known = tools.iter().map(|tool| tool.name.as_str());
        unknown("tool", name, known)
    })?;
    let schema: Value = serde_json::from_str(tool.input_schema.get()).unwrap_or_default();
    let line = command_line(&command.target, name, &schema);
    let faults = faults_of_tool(tool);
    if command.connection.json || command.connection.raw {
        let output_schema = tool.output_schema.as_ref();
        let object = serde_json::json!({
            "name": tool.name, "title": tool.title, "description": tool.description,
            "inputSchema": tool.input_schema, "outputSchema": output_schema,
            "annotations": tool.annotations, "command": line, "warnings": faults,
        });
        return Ok(output.line(&object.to_string())?);
    }
    output.line(name)?;
    for text in [&tool.title, &tool.description].into_iter().flatten() {
        output.line(text)?;
    }
    output.line(&format!("\n{schema:#}"))?;
    output.line(&format!("\n{line}"))?;
    for fault in faults {
        output.line(&format!("warning: {fault}"))?;
    }
    Ok(())
}

/// A command that calls the tool, with a place for each argument that is required.
fn command_line(target: &str, tool: &str, schema: &Value) -> String {
    let required = schema["required"].as_array().into_iter().flatten();
    let arguments = required.filter_map(Value::as_str).map(|name| {
        let default = schema["properties"][name].get("default");
        match default {
            Some(Value::String(text)) => format!("{name}={text}"),
            Some(value) => format!("{name}:={value}"),
            None => format!("{name}=VALUE"),
        }
    });
    let start = ["corelane", "call", target, tool].map(str::to_owned);
    let words: Vec<String> = start.into_iter().chain(arguments).map(quoted).collect();
    words.join(" ")
}

/// A word as a shell takes it. An equals sign inside of an argument needs no quotes.
fn quoted(word: String) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "=:_-./".contains(it);
    match word.chars().all(is_plain) {
        true => word,
        false => shell_words::quote(&word).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{command_line, faults_of_tool};
    use serde_json::json;

    #[test]
    fn the_command_line_can_be_pasted() {
        let schema = json!({"required": ["a", "b c"], "properties": {"a": {"default": 1}}});
        let line = command_line("stdio:x y", "t", &schema);
        assert_eq!(line, "corelane call 'stdio:x y' t a:=1 'b c=VALUE'");
    }

    #[test]
    fn faults_of_tools_are_found() {
        for (tool, faults) in [
            (
                json!({"name": "a", "description": "x", "inputSchema": {"type": "object"}}),
                0,
            ),
            (json!({"name": "a b", "inputSchema": {"type": "object"}}), 2),
            (
                json!({"name": "x".repeat(65), "description": "x",
                "inputSchema": {"type": "object"}}),
                1,
            ),
            (
                json!({"name": "a", "description": "x", "inputSchema": {"type": 1}}),
                2,
            ),
        ] {
            let tool = serde_json::from_value(tool.clone()).expect("a tool");
            let found = faults_of_tool(&tool);
            assert_eq!(found.len(), faults, "{found:?}");
        }
    }
}
