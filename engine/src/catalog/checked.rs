//! From registered entries to checked ones, each usable by itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::defect::CatalogError;
use super::prompt::{Prompt, PromptParts};
use super::resource::{Resource, ResourceParts, ResourceTemplate, TemplateParts};
use super::tool::{Tool, ToolParts};

pub(super) fn checked_tool(tool: Tool) -> Result<Arc<ToolParts>, CatalogError> {
    let name = tool.name().to_owned();
    let wrong = |reason| CatalogError::Tool { name, reason };
    tool.into_parts().map(Arc::new).map_err(wrong)
}

pub(super) fn checked_resource(resource: Resource) -> Result<Arc<ResourceParts>, CatalogError> {
    let uri = resource.uri().to_owned();
    let wrong = |reason| CatalogError::Resource { uri, reason };
    resource.into_parts().map(Arc::new).map_err(wrong)
}

pub(super) fn checked_prompt(prompt: Prompt) -> Result<Arc<PromptParts>, CatalogError> {
    let name = prompt.name().to_owned();
    let wrong = |reason| CatalogError::Prompt { name, reason };
    prompt.into_parts().map(Arc::new).map_err(wrong)
}

pub(super) fn checked_template(
    template: ResourceTemplate,
) -> Result<Arc<TemplateParts>, CatalogError> {
    let uri = template.uri_template().to_owned();
    let wrong = |reason| CatalogError::Resource { uri, reason };
    template.into_parts().map(Arc::new).map_err(wrong)
}

/// Checks the entries of one kind; each has a name of its own.
pub(super) fn checked<T, P>(
    entries: Vec<T>,
    kind: &'static str,
    name_of: impl Fn(&T) -> &str,
    check: impl Fn(T) -> Result<Arc<P>, CatalogError>,
) -> Result<Vec<Arc<P>>, CatalogError> {
    let mut seen = HashSet::with_capacity(entries.len());
    let mut parts = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = name_of(&entry).to_owned();
        if !seen.insert(name.clone()) {
            return Err(CatalogError::Duplicate { kind, name });
        }
        parts.push(check(entry)?);
    }
    Ok(parts)
}
