//! Resources, prompts and completion: parameters in, handlers started.

use std::rc::Rc;

use corelane_protocol::binding::refusal::{Reason, clip};
use corelane_protocol::jsonrpc::{Id, Object, Value};
use corelane_protocol::mcp::completion::{CompletionParams, CompletionTarget};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::prompts::PromptParams;
use corelane_protocol::mcp::resources;

use super::Disposition;
use super::dispatch::{Caller, invalid_params};
use super::endpoint::Core;
use super::in_flight::HandlerKind;
use super::session_id::SessionId;
use crate::catalog::completer::ShardCompleters;
use crate::handler::runner::{Answer, CompleteRunner, ReadRunner};
use crate::handler::{CompleteRequest, ReadRequest, Suggestions};

impl Core {
    /// `resources/read`: a resource of this very URI, or the first template that it fits.
    pub(super) fn read_resource(&mut self, caller: Caller<'_>, out: &mut Vec<u8>) -> Disposition {
        let (era, id) = (caller.era, caller.id);
        let uri = match resources::read_uri(caller.params) {
            Ok(uri) => uri,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some((runner, request)) = self.find_resource(uri) else {
            resources::write_not_found(out, era, id, uri);
            return Disposition::ok();
        };
        self.run(caller, |call| runner.start(call, request), out)
    }

    /// Whether a resource of this URI can be read, as far as its template tells.
    pub(super) fn has_resource(&self, uri: &str) -> bool {
        self.catalog.resource(uri).is_some()
            || self
                .catalog
                .templates()
                .iter()
                .any(|template| template.parts.template.matches(uri).is_some())
    }

    fn find_resource(&self, uri: &str) -> Option<(Rc<ReadRunner>, ReadRequest)> {
        if let Some(resource) = self.catalog.resource(uri) {
            let request = ReadRequest::new(uri.to_owned(), Vec::new());
            return Some((Rc::clone(&resource.runner), request));
        }
        self.catalog.templates().iter().find_map(|template| {
            let values = template.parts.template.matches(uri)?;
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let variables = values.iter().map(owned).collect();
            let request = ReadRequest::new(uri.to_owned(), variables);
            Some((Rc::clone(&template.runner), request))
        })
    }

    /// `prompts/get`.
    pub(super) fn get_prompt(&mut self, caller: Caller<'_>, out: &mut Vec<u8>) -> Disposition {
        let id = caller.id;
        let params = match PromptParams::read(caller.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some(prompt) = self.catalog.prompt(params.name) else {
            return self.unknown(id, "prompt", params.name, out);
        };
        let arguments = params.arguments.unwrap_or(Value::EMPTY_OBJECT);
        let is_given = |name: &str| {
            let members = arguments.as_object();
            members.is_some_and(|members| members.optional(name).is_some())
        };
        if let Some(missing) = prompt.parts.missing(is_given) {
            let text = self
                .arena
                .format(format_args!("argument {missing:?} is missing"));
            return invalid_params(id, text, out);
        }
        let runner = Rc::clone(&prompt.runner);
        self.run(caller, |call| runner.start(call, arguments), out)
    }

    /// `completion/complete`.
    pub(super) fn complete(&mut self, caller: Caller<'_>, out: &mut Vec<u8>) -> Disposition {
        let (era, id) = (caller.era, caller.id);
        let params = match CompletionParams::read(caller.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let completers: Option<&ShardCompleters> = match params.target {
            CompletionTarget::Prompt(name) => self.catalog.prompt(name).map(|it| &it.completers),
            CompletionTarget::Template(text) => {
                let mut templates = self.catalog.templates().iter();
                let found = templates.find(|it| it.parts.definition.uri_template == text);
                found.map(|it| &it.completers)
            }
        };
        let Some(completers) = completers else {
            let (CompletionTarget::Prompt(name) | CompletionTarget::Template(name)) = params.target;
            return self.unknown(id, "prompt or template", name, out);
        };
        let Some(runner): Option<Rc<CompleteRunner>> = completers.of(params.argument) else {
            // Nothing is known of the argument: nothing can be suggested.
            let nothing = Answer::Completion(Suggestions::default().0);
            self.write_outcome(out, era, id, HandlerKind::Completion, Ok(nothing));
            return Disposition::ok();
        };
        let filled_in = params.context.map(owned_strings).unwrap_or_default();
        let request = CompleteRequest::new(params.value.to_owned(), filled_in);
        self.run(caller, |call| runner.start(call, request), out)
    }

    /// `resources/subscribe` and `resources/unsubscribe` of a session.
    pub(super) fn subscribe(
        &mut self,
        session: SessionId,
        id: Id<'_>,
        (params, is_on): (Option<Value<'_>>, bool),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let uri = match resources::read_uri(params) {
            Ok(uri) => uri,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        if is_on && !self.has_resource(uri) {
            resources::write_not_found(out, Era::Legacy, id, uri);
            return Disposition::ok();
        }
        let max = self.settings.subscriptions_per_session_max;
        let Some(session) = self.sessions.find(session) else {
            return self.refuse(Some(id), Reason::SessionUnknown, out);
        };
        session.subscriptions.retain(|known| **known != *uri);
        if is_on {
            if session.subscriptions.len() >= max {
                let text = self
                    .arena
                    .format(format_args!("a session may subscribe to {max} resources"));
                return invalid_params(id, text, out);
            }
            session.subscriptions.push(uri.into());
        }
        self.trailer.write_empty(out, Era::Legacy, id);
        Disposition::ok()
    }

    /// The answer to a request for something that is not in the catalog.
    #[cold]
    pub(super) fn unknown(
        &self,
        id: Id<'_>,
        kind: &str,
        name: &str,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let text = self
            .arena
            .format(format_args!("unknown {kind} {:?}", clip(name)));
        invalid_params(id, text, out)
    }
}

/// The members of an object of strings.
fn owned_strings(object: Object<'_>) -> Vec<(String, String)> {
    let text =
        |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.as_str()?.to_owned()));
    object.iter().filter_map(text).collect()
}
