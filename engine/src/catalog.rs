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
    by_name: HashMap<Box<str>, usize>,
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
        self.by_name.get(name).map(|at| &self.tools[*at])
    }

    /// The pages of the list of tools, in the order of registration.
    pub(crate) fn tool_pages(&self) -> &Pages {
        &self.plan.tool_pages
    }
}
