//! Lists with all of their pages.
//!
//! The annotated arguments of listed tools are kept for later calls. A tool whose annotations are
//! not usable is left out over HTTP, where no call of it could be made (MCP 2026-07-28
//! basic/transports, "Custom Headers").

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use corelane_protocol::binding::header_param;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::PAGES_MAX;
use crate::shared::{Request, Shared};
use crate::types::{RawResult, Tool};

/// Lists all tools, and keeps their annotated arguments for later calls.
pub(crate) async fn list_tools(shared: &Arc<Shared>) -> Result<Vec<Tool>, Error> {
    let listed: Vec<Tool> = list(shared, "tools/list", "tools").await?;
    let mut known = HashMap::new();
    let mut warnings = Vec::new();
    let mut tools = Vec::with_capacity(listed.len());
    // Only HTTP repeats arguments in headers (MCP 2026-07-28 basic/transports).
    let has_headers = shared.is_modern() && shared.is_http();
    for tool in listed {
        let schema: Value = serde_json::from_str(tool.input_schema.get()).unwrap_or_default();
        match header_param::collect(&schema) {
            Ok(params) if !params.is_empty() => {
                known.insert(tool.name.clone(), params);
            }
            Err(defect) if has_headers => {
                warnings.push(format!("tool {:?} {defect}", tool.name));
                continue;
            }
            _ => {}
        }
        tools.push(tool);
    }
    *shared
        .header_params
        .write()
        .unwrap_or_else(PoisonError::into_inner) = known;
    *shared
        .warnings
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = warnings;
    Ok(tools)
}

/// Lists all entries of all pages.
pub(crate) async fn list<T: DeserializeOwned>(
    shared: &Arc<Shared>,
    method: &str,
    member: &str,
) -> Result<Vec<T>, Error> {
    let mut entries = Vec::new();
    for page in pages(shared, method).await? {
        let mut members: HashMap<String, Box<RawValue>> = page.parse()?;
        if let Some(items) = members.remove(member) {
            entries.extend(RawResult(items).parse::<Vec<T>>()?);
        }
    }
    Ok(entries)
}

/// All pages of a list, from the cache while they are fresh.
pub(crate) async fn pages(shared: &Arc<Shared>, method: &str) -> Result<Vec<RawResult>, Error> {
    if let Some(pages) = shared.cache.find(method) {
        return Ok(pages.to_vec());
    }
    let version = shared.cache.version();
    let pages = request_pages(shared, method).await?;
    shared.cache.keep(method.to_owned(), &pages, version);
    Ok(pages)
}

async fn request_pages(shared: &Arc<Shared>, method: &str) -> Result<Vec<RawResult>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        next_cursor: Option<String>,
    }
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let params = match &cursor {
            Some(cursor) => json!({"cursor": cursor}),
            None => json!({}),
        };
        let request = Request {
            is_idempotent: true,
            ..shared.request(method, params)
        };
        // Lists never need input, so there are no rounds.
        let page = RawResult(shared.exchange(&request).await?);
        let next = page.parse::<Page>()?.next_cursor;
        pages.push(page);
        if next.is_none() {
            return Ok(pages);
        }
        if next == cursor {
            let fault = format!("{method} has a page that follows itself");
            return Err(Error::Protocol(fault));
        }
        cursor = next;
    }
    Err(Error::Protocol(format!(
        "{method} has more than {PAGES_MAX} pages"
    )))
}
