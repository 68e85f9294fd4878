//! Responses to requests of upstreams, on the link that the request came from or in its session.

use corelane_io::chunk::Chunk;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;

use super::Links;
use crate::upstream::relay::questions::Questions;
use crate::upstream::relay::{Recipient, RelayKey};

impl Links {
    /// Sends the responses that a call has for its upstream.
    pub(super) fn respond(&mut self, rings: &mut Rings, key: RelayKey) {
        let Some(mut relay) = self.port.find(key) else {
            return;
        };
        let (upstream, link, owner) = (relay.upstream, relay.link, relay.owner());
        let questions = relay.questions();
        let responses = questions.map_or_else(Vec::new, Questions::take_responses);
        drop(relay);
        if let Some(link) = link.filter(|link| self.is_line(*link)) {
            return self.push_lines(rings, link, responses);
        }
        let sessions = &self.endpoints[usize::from(upstream)].sessions;
        let Some(owner) = owner else { return };
        let Some((revision, session)) = sessions.head(&owner) else {
            return;
        };
        let session = session.map(Box::<str>::from);
        for body in responses {
            let fields = (None, revision, session.as_deref());
            let id = self.port.next_id();
            let of = (upstream, &owner);
            self.send_legacy(of, id, Recipient::Nobody, (fields, &body));
        }
    }

    fn push_lines(&mut self, rings: &mut Rings, link: SlotKey, responses: Vec<Vec<u8>>) {
        let local = self.local(link);
        let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) else {
            return;
        };
        for mut body in responses {
            body.push(b'\n');
            // A peer that reads no responses gets no more of them.
            if line.has_room(body.len()) {
                line.push(Chunk::from(body));
            }
        }
        self.flush_line(rings, link);
    }
}
