//! The routes that need only the catalog: lists, and the methods that exist.

use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::result::Caching;
use corelane_protocol::mcp::revision::Revision;

use super::Services;
use crate::catalog::List;
use crate::mcp::context::invalid_params;
use crate::mcp::cursor::{NO_SUCH_CURSOR, cursor_of};
use crate::mcp::disposition::Disposition;

impl Services {
    /// Whether the server has the feature that a method belongs to.
    pub(super) fn offers(&self, method: Method) -> bool {
        let offer = self.catalog.offer();
        match method {
            Method::ResourcesList
            | Method::TemplatesList
            | Method::ResourcesRead
            | Method::Subscribe
            | Method::Unsubscribe => offer.resources,
            Method::PromptsList | Method::PromptsGet => offer.prompts,
            Method::Complete => offer.completions,
            method if method.is_of_tasks() => offer.tasks,
            _ => true,
        }
    }

    /// A list: a page that was encoded when the catalog was built.
    pub(super) fn list(
        &self,
        revision: Revision,
        id: Id<'_>,
        (method, params): (Method, Option<Value<'_>>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let list = match method {
            Method::ResourcesList => List::Resources,
            Method::TemplatesList => List::Templates,
            Method::PromptsList => List::Prompts,
            _ => List::Tools,
        };
        let pages = self.catalog.pages(list, revision);
        let cursor = match cursor_of(params) {
            Ok(cursor) => cursor,
            Err(text) => return invalid_params(id, text, out),
        };
        let Some(page) = pages.find(cursor) else {
            return invalid_params(id, NO_SUCH_CURSOR, out);
        };
        encode::begin_result(out, id);
        out.push(b'{');
        pages.write(page, out);
        let trailer = &self.context.trailer;
        trailer.finish(out, revision.era(), Caching::Revalidate);
        Disposition::ok()
    }
}
