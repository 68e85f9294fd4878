//! The schemas of the objects that the commands print with `--json`, in
//! docs/client-output.schema.json. The results of a server are those of MCP, and not in it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::call::TaskObject;
use super::failure::FailureObject;
use super::inspect::Report;
use super::listen::ChangeObject;

/// The file.
const PATH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/client-output.schema.json"
);

fn schemas() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    let mut generator = settings.for_serialize().into_generator();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://corelane.dev/schemas/client-output-1.json",
        "title": "The objects that the client commands of Corelane print with --json, version 1",
        "$defs": {
            "failure": generator.root_schema_for::<FailureObject>(),
            "report": generator.root_schema_for::<Report>(),
            "change": generator.root_schema_for::<ChangeObject>(),
            "task": generator.root_schema_for::<TaskObject>(),
        },
    })
}

#[test]
fn the_published_schemas_are_those_of_the_code() {
    let schemas = format!("{:#}\n", schemas());
    if std::env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
        std::fs::write(PATH, &schemas).unwrap();
    }
    let published = std::fs::read_to_string(PATH).unwrap();
    assert_eq!(
        published, schemas,
        "write it anew: CORELANE_WRITE_REFERENCE=1 cargo test -p corelane-cli published_schemas"
    );
}
