//! What exists: the tools a server offers.
//!
//! A [`Plan`] is made once, before any shard runs: names are checked, schemas compiled, list
//! pages encoded. Each shard then makes a [`Catalog`] of its own from it, so that looking up and
//! running a tool touches nothing shared that is ever written.

pub(crate) mod page;
pub(crate) mod schema;
pub(crate) mod tool;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::handler::runner::Runner;
use page::Pages;
use tool::{Tool, ToolParts};

/// Why a catalog cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Two tools have one name.
    #[error("tool {0:?} is registered twice")]
    DuplicateTool(String),
    /// A tool is not usable.
    #[error("tool {name:?}: {reason}")]
    Tool {
        /// The tool's name.
        name: String,
        /// What is wrong with it.
        reason: tool::ToolDefect,
    },
}

/// The checked and encoded catalog, shared by all shards and never changed.
#[derive(Debug)]
pub(crate) struct Plan {
    tools: Vec<Arc<ToolParts>>,
    tool_pages: Pages,
}

impl Plan {
    /// Checks `tools` and encodes their list in pages of at most `page_entries_max`.
    pub(crate) fn new(tools: Vec<Tool>, page_entries_max: usize) -> Result<Plan, CatalogError> {
        let mut parts: Vec<Arc<ToolParts>> = Vec::with_capacity(tools.len());
        for tool in tools {
            let name = tool.name().to_owned();
            if parts.iter().any(|part| part.definition.name == name) {
                return Err(CatalogError::DuplicateTool(name));
            }
            let part = tool
                .into_parts()
                .map_err(|reason| CatalogError::Tool { name, reason })?;
            parts.push(Arc::new(part));
        }
        let tool_pages = Pages::new("tools", page_entries_max, parts.iter(), |part, out| {
            part.definition.write(out);
        });
        Ok(Plan {
            tools: parts,
            tool_pages,
        })
    }
}

/// One shard's copy of the catalog.
pub(crate) struct Catalog {
    plan: Arc<Plan>,
    tools: Vec<ShardTool>,
    /// The hash needs not withstand an attack: peers ask for names and never add one.
    by_name: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
}

/// A tool on one shard.
pub(crate) struct ShardTool {
    /// What is the same on every shard.
    pub(crate) parts: Arc<ToolParts>,
    /// Runs the tool here.
    pub(crate) runner: Rc<dyn Runner>,
}

impl Catalog {
    /// The calling shard's copy of `plan`.
    pub(crate) fn new(plan: Arc<Plan>) -> Catalog {
        let tools: Vec<ShardTool> = plan
            .tools
            .iter()
            .map(|parts| ShardTool {
                parts: Arc::clone(parts),
                runner: parts.source.runner(),
            })
            .collect();
        let by_name = tools
            .iter()
            .enumerate()
            .map(|(at, tool)| (tool.parts.definition.name.as_str().into(), at))
            .collect();
        Catalog {
            plan,
            tools,
            by_name,
        }
    }

    /// The tool called `name`.
    pub(crate) fn tool(&self, name: &str) -> Option<&ShardTool> {
        self.place_of(name).map(|place| &self.tools[place])
    }

    /// Where the tool called `name` stands in the order of registration.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The pages of the list of tools, in the order of registration.
    pub(crate) fn tool_pages(&self) -> &Pages {
        &self.plan.tool_pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Call;

    fn tool(name: &str, schema: &str) -> Tool {
        let run = async |_: &Call, _: serde_json::Value| Ok(());
        Tool::with_schema(name, "d", schema, run)
    }

    const ANY: &str = r#"{"type":"object"}"#;

    /// Checks what a server with these tools says when it starts.
    #[track_caller]
    fn check(tools: Vec<Tool>, expected: &str) {
        let refusal = Plan::new(tools, 10).expect_err("a tool is unusable");
        let text = refusal.to_string();
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_tool_that_no_client_could_use_is_refused_at_the_start() {
        check(
            vec![tool("a b", ANY)],
            "tool \"a b\": a tool name has 1 to 128",
        );
        check(vec![tool("", ANY)], "tool \"\": a tool name has 1 to 128");
        check(
            vec![tool("a", "{")],
            "tool \"a\": its input schema is not JSON",
        );
        let root = "tool \"a\": its input schema must have \"type\": \"object\" at its root";
        for schema in [
            "{}",
            "true",
            "null",
            "[]",
            r#"{"type":"string"}"#,
            r#"{"type":["object"]}"#,
            r#"{"anyOf":[{"type":"object"}]}"#,
        ] {
            check(vec![tool("a", schema)], root);
        }
        let invalid = "tool \"a\": its input schema does not compile";
        for member in [
            r#""required":"a""#,
            r#""properties":{"a":{"type":"text"}}"#,
            r#""properties":{"a":{"pattern":"("}}"#,
            r#""properties":{"a":{"minimum":"1"}}"#,
            r##""properties":{"a":{"$ref":"#/$defs/none"}}"##,
            r#""properties":{"a":{"$ref":"http://127.0.0.1/schema.json"}}"#,
            r#""properties":{"a":{"$ref":"https://example.com/schema.json"}}"#,
            r#""properties":{"a":{"$ref":"file:///etc/hostname"}}"#,
            r#""properties":{"a":{"$ref":"other.json"}}"#,
        ] {
            let schema = format!(r#"{{"type":"object",{member}}}"#);
            check(vec![tool("a", &schema)], invalid);
        }
        let header = r#"{"type":"object","properties":{"a":{"type":"array","x-mcp-header":"A"}}}"#;
        check(
            vec![tool("a", header)],
            "tool \"a\": its input schema has the x-mcp-header",
        );
    }

    #[test]
    fn two_tools_of_one_name_are_refused_and_names_have_case() {
        let twice = vec![tool("a", ANY), tool("b", ANY), tool("a", ANY)];
        check(twice, "tool \"a\" is registered twice");
        let plan = Plan::new(vec![tool("a", ANY), tool("A", ANY)], 10).unwrap();
        let catalog = Catalog::new(Arc::new(plan));
        for (name, is_there) in [("a", true), ("A", true), ("b", false), ("", false)] {
            let found = catalog.tool(name).map(|tool| &*tool.parts.definition.name);
            assert_eq!(found, is_there.then_some(name));
        }
    }

    #[test]
    fn pages_list_tools_in_the_order_of_registration() {
        let names = ["c", "a", "b"];
        let tools = names.iter().map(|name| tool(name, ANY)).collect();
        let catalog = Catalog::new(Arc::new(Plan::new(tools, 2).unwrap()));
        let page = catalog.tool_pages().page(None).unwrap();
        let page = format!("{{{}}}", str::from_utf8(page).unwrap());
        let page: serde_json::Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["tools"][0]["name"], "c");
        assert_eq!(page["tools"][1]["name"], "a");
        let cursor = page["nextCursor"].as_str().unwrap();
        let last = str::from_utf8(catalog.tool_pages().page(Some(cursor)).unwrap()).unwrap();
        assert!(last.contains(r#""name":"b""#) && !last.contains("nextCursor"));
    }

    #[test]
    fn shards_share_definitions_and_have_runners_of_their_own() {
        let plan = Arc::new(Plan::new(vec![tool("a", ANY)], 10).unwrap());
        let (one, other) = (Catalog::new(Arc::clone(&plan)), Catalog::new(plan));
        let (one, other) = (one.tool("a").unwrap(), other.tool("a").unwrap());
        assert!(Arc::ptr_eq(&one.parts, &other.parts));
        assert!(!Rc::ptr_eq(&one.runner, &other.runner));
    }
}
