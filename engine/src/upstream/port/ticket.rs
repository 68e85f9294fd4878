//! The ticket of a call at an upstream.

use std::rc::Rc;

use corelane_gateway::relay::{Executed, Failure, Reason, RelayedPart};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;

use super::{Command, RelayTicket};
use crate::handler::Call;
use crate::handler::event_queue::CallEvent;
use crate::handler::outcome::Answer;
use crate::upstream::relay::questions::Questions;
use crate::upstream::relay::{ParkedAnswer, Recipient};

/// A call that stays open at its upstream while its client answers: dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct ParkedTicket {
    ticket: RelayTicket,
    upstream: u16,
    answer: ParkedAnswer,
}

impl RelayTicket {
    /// Takes the requests of the upstream that were not sent to the client yet, with their keys.
    pub(crate) fn unsent_questions(&self) -> Vec<(String, ClientRequest)> {
        // A request that came together with the answer needs none any more.
        let relay = self.port.find(self.key);
        let Some(mut relay) = relay.filter(|it| !it.is_answered()) else {
            return Vec::new();
        };
        let questions = relay.questions();
        questions.map_or_else(Vec::new, Questions::take_unsent)
    }

    /// Answers the request of the upstream with this key, with this member of a response.
    pub(crate) fn answer(&self, key: &str, member: &str) {
        let Some(mut relay) = self.port.find(self.key) else {
            return;
        };
        let questions = relay.questions();
        if questions.is_some_and(|questions| questions.answer(key, member)) {
            self.port.respond(self.key);
        }
    }

    /// Keeps the answer of the call, should it come before its client is back.
    pub(crate) fn park(self) -> ParkedTicket {
        let answer = ParkedAnswer::default();
        let upstream = self.port.find(self.key).map_or(0, |mut relay| {
            relay.set_recipient(Recipient::Parked(Rc::clone(&answer)));
            relay.upstream
        });
        ParkedTicket {
            ticket: self,
            upstream,
            answer,
        }
    }
}

impl ParkedTicket {
    /// A call that was begun for this place of its answer, at the upstream with this number.
    pub(crate) fn of(ticket: RelayTicket, upstream: u16, answer: ParkedAnswer) -> ParkedTicket {
        ParkedTicket {
            ticket,
            upstream,
            answer,
        }
    }

    /// All requests of the upstream that are open, with keys that no other call has.
    pub(crate) fn open_questions(&self) -> Vec<(String, ClientRequest)> {
        let Some(mut relay) = self.ticket.port.find(self.ticket.key) else {
            return Vec::new();
        };
        let id = relay.id;
        let open = relay
            .questions()
            .map_or_else(Vec::new, |it| it.open_questions());
        let keyed = open.into_iter();
        keyed
            .map(|(key, request)| (format!("{id}-{key}"), request))
            .collect()
    }

    /// Answers the request that [`ParkedTicket::open_questions`] gave this key.
    pub(crate) fn answer_open(&self, key: &str, member: &str) {
        let id = self.ticket.key.id.to_string();
        let own = key
            .strip_prefix(&*id)
            .and_then(|rest| rest.strip_prefix('-'));
        if let Some(key) = own {
            self.ticket.answer(key, member);
        }
    }

    /// Takes the answer of the call, if it has come.
    pub(crate) fn take_answer(&self) -> Option<RelayedPart> {
        self.answer.take()
    }

    /// Whether the call is over.
    pub(crate) fn is_over(&self) -> bool {
        self.answer.borrow().is_some() || self.ticket.port.find(self.ticket.key).is_none()
    }

    /// The number of the upstream.
    pub(crate) fn upstream(&self) -> u16 {
        self.upstream
    }

    /// Answers the request of the upstream with this key.
    pub(crate) fn answer(&self, key: &str, member: &str) {
        self.ticket.answer(key, member);
    }

    /// The client is back with another call, which goes on where the one before was: with the
    /// answer, or with the requests of the upstream that have none yet.
    pub(crate) fn resume(self, call: &Call) -> RelayTicket {
        let (port, key) = (&self.ticket.port, call.key());
        if let Some(part) = self.answer.take() {
            let answer = Ok(Answer::Relayed(part));
            port.event_queue.leave(CallEvent::Done(key, answer));
        } else if let Some(mut relay) = port.find(self.ticket.key) {
            relay.set_recipient(Recipient::Call(call.clone(), key, Era::Modern));
            if let Some(questions) = relay.questions().filter(|it| it.are_open()) {
                questions.forget_sent();
                port.event_queue.leave(CallEvent::Questions(key));
            }
        } else {
            let failure = Failure::new(Reason::Lost, Executed::Unknown);
            let error = failure.to_json(&port.name_of(self.upstream)).into_bytes();
            let answer = Ok(Answer::Relayed(RelayedPart::Error(error)));
            port.event_queue.leave(CallEvent::Done(key, answer));
        }
        self.ticket
    }

    /// The client has not come back in time: the requests are answered without it, and the call is
    /// cancelled.
    pub(crate) fn expire(self) {
        let RelayTicket { port, key } = &self.ticket;
        if let Some(mut relay) = port.find(*key)
            && let Some(questions) = relay.questions()
        {
            questions.cancel_all();
            port.respond(*key);
        }
    }
}

impl Drop for RelayTicket {
    fn drop(&mut self) {
        let is_open = self
            .port
            .find(self.key)
            .is_some_and(|relay| !relay.is_answered());
        if is_open {
            let mut commands = self.port.commands.borrow_mut();
            commands.push_back(Command::Cancel(self.key));
        }
    }
}
