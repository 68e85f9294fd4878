//! Requests of upstreams to the clients of relayed calls.

use corelane_gateway::relay::RelayedState;

use super::call_events::CallEvents;
use super::delivery::Part;
use crate::handler::event_queue::{CallKey, UpstreamInput};

impl CallEvents<'_> {
    /// Ends this round of a modern call with the requests of a modern upstream. Its state is
    /// sealed: with a credential of this server all clients look alike to the upstream, so that it
    /// could not refuse the state of another client.
    pub(super) fn relay_input(&mut self, key: CallKey, input: &UpstreamInput) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let digest = entry.params_digest.take().map_or([0; 32], |digest| *digest);
        let (id, principal) = (entry.id.clone(), entry.call.principal_key());
        let binding = entry.kind.binding(principal.as_deref(), digest);
        let required = &input.required;
        let contents = required.state.as_deref().map(|state| {
            let name = &input.upstream;
            RelayedState::Upstream { name, state }.to_contents()
        });
        let mut body = Vec::new();
        let answer = (id.as_id(), &self.endings.updates.context.trailer);
        let sealed = (&*required.questions, contents.as_deref());
        self.questions
            .write_sealed(&mut body, answer, &binding, sealed);
        self.pump(key);
        let refused = None;
        self.endings.finish(key, Err(Part::Final { refused, body }));
    }
}
