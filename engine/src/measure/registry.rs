//! The look-ups of a shard: a tool by its name, a session by its id.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::request_state::Sealer;

use crate::catalog::guarded::ToolLimits;
use crate::catalog::tool::Tool;
use crate::catalog::{Catalog, List, Plan};
use crate::guard::holder::HolderKey;
use crate::handler::Call;
use crate::mcp::{NamedSession, SessionLimits, Sessions};

/// Checked tools that do nothing, of which each thread can have a catalog.
#[derive(Clone, Debug)]
pub struct ToolPlan {
    plan: Arc<Plan>,
}

impl ToolPlan {
    /// Tools of these names.
    ///
    /// # Panics
    /// If a name is no tool's name or comes twice.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> ToolPlan {
        let run = async |_: &Call, _: serde_json::Value| Ok(());
        let tools: Vec<Tool> = names
            .map(|name| Tool::from_schema(name, "Does nothing.", r#"{"type":"object"}"#, run))
            .collect();
        let plan =
            Plan::new(tools.into(), 100).expect("the caller knows what a tool may be called");
        ToolPlan {
            plan: Arc::new(plan),
        }
    }

    /// The calling thread's catalog of them.
    pub fn catalog(&self) -> ToolCatalog {
        ToolCatalog {
            catalog: Catalog::new(Arc::clone(&self.plan), ToolLimits::NONE, &Rc::default()),
        }
    }
}

/// A shard's catalog.
pub struct ToolCatalog {
    catalog: Catalog,
}

impl ToolCatalog {
    /// The position of the tool called `name` in the order of registration.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.catalog.find_tool(name).map(|(place, _)| place)
    }

    /// Appends the first page of the tools: of all, or of those whose bits are in `selected`.
    pub fn write_page(&self, selected: Option<&[u64]>, out: &mut Vec<u8>) {
        let pages = self.catalog.pages(List::Tools, Revision::V2025_11_25);
        let Some(start) = pages.find(None) else {
            return;
        };
        match selected {
            None => pages.write(start, out),
            Some(selected) => {
                let cursor_of = |_: &str, number: u64| format!("{number:012}");
                pages.write_selected(start, selected, cursor_of, out);
            }
        }
    }
}

impl fmt::Debug for ToolCatalog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ToolCatalog")
            .finish_non_exhaustive()
    }
}

/// A shard's sessions.
#[derive(Debug)]
pub struct SessionTable {
    sessions: Sessions,
}

impl SessionTable {
    /// A table of so many sessions, and their ids as clients send them.
    ///
    /// # Panics
    /// If there is no memory for them: our own bug.
    pub fn holding(count: usize) -> (SessionTable, Vec<[u8; 36]>) {
        let mut sessions = Sessions::new(
            0,
            SessionLimits {
                sessions_max: 2 * count,
                per_principal_max: count,
                streams_max: count,
                idle_timeout_ms: u64::MAX,
                id_max_age_s: 0,
                ended_max: 1,
            },
            Arc::new(Sealer::random()),
        );
        let ids = (0..count).map(|_| {
            let terms = (Revision::V2025_11_25, ClientCapabilities::default());
            let created = sessions.create((None, HolderKey::ANONYMOUS), terms, 0);
            let (id, _) = created.expect("there is room for so many");
            id.to_text()
        });
        let ids = ids.collect();
        (SessionTable { sessions }, ids)
    }

    /// The first steps of a request: reads the id it names, finds its session and marks it as used.
    /// Returns the lowest of the session's random bits.
    pub fn touch(&mut self, id: &[u8]) -> Option<u32> {
        let session = self
            .sessions
            .touch_as(None, NamedSession::parse(id)?.id, 1)?;
        Some(session.id.random as u32)
    }
}
