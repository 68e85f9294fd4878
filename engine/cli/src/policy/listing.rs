//! The entries that a policy is compared with: those of a demo, or of any server, as
//! `corelane list` printed them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use corelane::guard::policy::{ArgumentSchema, Entries, EntryKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::reading::{CommandError, read};
use crate::demo::Demo;

/// Where the entries come from.
#[derive(Debug, Clone)]
pub(crate) enum Catalog {
    Demo(Demo),
    File(PathBuf),
}

/// The name of a demo is that; anything else is the path of a file.
impl FromStr for Catalog {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Catalog, Infallible> {
        let demo = Demo::from_str(text, false).map(Catalog::Demo);
        Ok(demo.unwrap_or_else(|_| Catalog::File(PathBuf::from(text))))
    }
}

impl Catalog {
    /// Reads the entries.
    pub(super) fn load(&self) -> Result<Listing, CommandError> {
        match self {
            Catalog::Demo(demo) => Ok(Listing::of(&demo.server())),
            Catalog::File(path) => {
                let text = read(path)?;
                let listed = Listed::parse(&text).map_err(|error| {
                    let path = path.clone();
                    CommandError::Catalog { path, error }
                })?;
                Ok(listed.into())
            }
        }
    }
}

/// The names of entries by kind, with the arguments of the tools.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    names: [Vec<String>; 4],
    arguments: Vec<Option<Vec<ArgumentSchema>>>,
}

impl Listing {
    fn of(entries: &impl Entries) -> Listing {
        let names = EntryKind::ALL.map(|kind| {
            let places = 0..entries.count(kind);
            places
                .map(|place| entries.name(kind, place).to_owned())
                .collect()
        });
        let tools = 0..entries.count(EntryKind::Tool);
        let arguments = tools.map(|place| entries.arguments(place)).collect();
        Listing { names, arguments }
    }
}

impl Entries for Listing {
    fn count(&self, kind: EntryKind) -> usize {
        self.names[kind as usize].len()
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        &self.names[kind as usize][place]
    }

    fn arguments(&self, place: usize) -> Option<Vec<ArgumentSchema>> {
        self.arguments[place].clone()
    }
}

/// The output of `corelane list all TARGET --json`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Listed {
    tools: Vec<ListedTool>,
    resources: Vec<ListedResource>,
    resource_templates: Vec<ListedTemplate>,
    prompts: Vec<ListedPrompt>,
}

impl Listed {
    /// An array is refused, which `corelane list` prints of one kind of entries.
    fn parse(text: &str) -> serde_json::Result<Listed> {
        let members: Map<String, Value> = serde_json::from_str(text)?;
        Listed::deserialize(Value::Object(members))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedTool {
    name: String,
    input_schema: Value,
}

#[derive(Deserialize)]
struct ListedResource {
    uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedTemplate {
    uri_template: String,
}

#[derive(Deserialize)]
struct ListedPrompt {
    name: String,
}

impl From<Listed> for Listing {
    fn from(listed: Listed) -> Listing {
        let schemas = listed
            .tools
            .iter()
            .map(|tool| tool.input_schema.to_string());
        let arguments = schemas.map(|schema| ArgumentSchema::of_input(&schema));
        let arguments = arguments.collect();
        let tools = listed.tools.into_iter().map(|it| it.name).collect();
        let resources = listed.resources.into_iter().map(|it| it.uri).collect();
        let templates = listed.resource_templates.into_iter();
        let templates = templates.map(|it| it.uri_template).collect();
        let prompts = listed.prompts.into_iter().map(|it| it.name).collect();
        let names = [tools, resources, templates, prompts];
        Listing { names, arguments }
    }
}
