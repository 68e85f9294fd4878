//! The checked entries of a catalog.

use corelane_protocol::mcp::lifecycle::Offer;

use super::ordered_registry::OrderedRegistry;
use super::prompt::PromptParts;
use super::resource::{ResourceParts, TemplateParts};
use super::tool::ToolParts;

/// The checked entries of each kind, in the order of registration.
#[derive(Clone)]
pub(super) struct Lists {
    pub(super) tools: OrderedRegistry<ToolParts>,
    pub(super) resources: OrderedRegistry<ResourceParts>,
    pub(super) templates: OrderedRegistry<TemplateParts>,
    pub(super) prompts: OrderedRegistry<PromptParts>,
}

impl Lists {
    /// The features that have an entry.
    pub(super) fn offer(&self) -> Offer {
        Offer {
            resources: !self.resources.is_empty() || !self.templates.is_empty(),
            prompts: !self.prompts.is_empty(),
            tasks: self
                .tools
                .iter()
                .any(|it| it.definition.task_support.is_some()),
            completions: self.prompts.iter().any(|it| !it.completers.is_empty())
                || self.templates.iter().any(|it| !it.completers.is_empty()),
        }
    }
}
