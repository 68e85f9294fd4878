//! The end of an endpoint: no new sessions, then no calls, then nothing.

use super::Endpoint;

impl Endpoint {
    /// From now on no session is made and no stream is opened; listen streams end.
    pub(crate) fn drain(&mut self) {
        self.services.context.begin_drain();
        self.services.listening().end_all();
    }

    /// Answers every call with an error: the `limit_ms` milliseconds that a shutdown gives them are
    /// over.
    pub(crate) fn end_calls(&mut self, limit_ms: u64) {
        self.services.endings().end_all_calls(limit_ms);
    }

    /// Ends every session: the shard has drained.
    pub(crate) fn finish_drain(&mut self) {
        self.services.endings().end_all_sessions();
        self.services.limits.publish();
        self.record_last_hits();
    }

    /// Handles that the only connection of the shard, which is a channel, has ended its input: no
    /// request to the client is answered any more. Open ones fail, and later ones at once.
    pub(crate) fn handle_end_of_answers(&mut self) {
        if !self.services.context.is_input_over() {
            self.services.context.end_input();
            self.services.call_events().fail_open_requests();
        }
    }
}
