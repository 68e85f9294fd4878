//! The routes that need only the catalog: lists, and the methods that exist.

use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::mcp::error_code::INTERNAL_ERROR;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::result::Caching;
use corelane_protocol::mcp::revision::Revision;

use super::Services;
use crate::catalog::List;
use crate::guard::policy::EntryKind;
use crate::mcp::context::invalid_params;
use crate::mcp::cursor::{NO_SUCH_CURSOR, SealedCursor, cursor_of};
use crate::mcp::disposition::Disposition;
use crate::mcp::inbound::Inbound;

/// The member of `_meta` of a first page with the upstreams whose lists are missing or old.
const OUTCOMES: &str = "corelane/upstreams";
/// The error of a list without the entries of an upstream that is required.
const LACKING: &str = "the list is not complete: a required upstream has not been read: try again";
const LACKING_DATA: &[u8] = br#"{"reason":"unavailable","retryAfterMs":1000}"#;

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

    /// A list: a page that was encoded when the catalog was built, or the entries of it that the
    /// requester may see.
    pub(super) fn list(
        &mut self,
        (revision, inbound): (Revision, Inbound<'_>),
        id: Id<'_>,
        (method, params): (Method, Option<Value<'_>>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (list, kind) = match method {
            Method::ResourcesList => (List::Resources, EntryKind::Resource),
            Method::TemplatesList => (List::Templates, EntryKind::Template),
            Method::PromptsList => (List::Prompts, EntryKind::Prompt),
            _ => (List::Tools, EntryKind::Tool),
        };
        let notice = self.calls.port().map(|port| port.use_list());
        let notice = notice.unwrap_or_default();
        if notice.lacks_required {
            let data = |out: &mut Vec<u8>| out.extend_from_slice(LACKING_DATA);
            encode::write_error_with_data(out, Some(id), INTERNAL_ERROR, LACKING, data);
            return Disposition::ok();
        }
        let pages = self.catalog.pages(list, revision);
        let cursor = match cursor_of(params) {
            Ok(cursor) => cursor,
            Err(text) => return invalid_params(id, text, out),
        };
        let view = self.permissions.view(&self.catalog, inbound.requester);
        let sealed = SealedCursor {
            questions: &self.questions,
            principal: inbound.principal(),
            method,
        };
        let page = match (&view, cursor) {
            (Some(_), Some(cursor)) => sealed.open(cursor).and_then(|it| pages.find_number(it)),
            _ => pages.find(cursor),
        };
        let Some(page) = page else {
            return invalid_params(id, NO_SUCH_CURSOR, out);
        };
        encode::begin_result(out, id);
        out.push(b'{');
        match &view {
            None => pages.write(page, out),
            Some(view) => {
                let seal = |_: &str, number: u64| sealed.seal(number);
                pages.write_selected(page, view.listed(kind), seal, out);
            }
        }
        let trailer = &self.context.trailer;
        let of = (revision.era(), Caching::Revalidate);
        // A policy may hide an upstream, and its name is no business of the requester then.
        match notice
            .outcomes
            .filter(|_| cursor.is_none() && view.is_none())
        {
            None => trailer.finish(out, of.0, of.1),
            Some(outcomes) => trailer.finish_with_meta(out, of, |out| {
                encode::write_string(out, OUTCOMES);
                out.push(b':');
                out.extend_from_slice(outcomes.as_bytes());
            }),
        }
        Disposition::ok()
    }
}
