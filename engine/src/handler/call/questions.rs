//! The requests of a call to its client, and the answers.

use std::task::Waker;

use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use serde_json::Value;

use super::{Call, StreamItem};
use crate::handler::elicitation::Question;
use crate::handler::error::CallError;
use crate::handler::event_queue::{CallEvent, CallKey};
use crate::handler::rounds::Rounds;

/// The id of a request to a legacy client: it names the call and the question.
pub(super) fn question_id(key: CallKey, place: usize) -> String {
    format!("{:x}-{:x}-{place:x}", key.index, key.generation)
}

/// Reads the output of [`question_id`].
pub(crate) fn parse_question_id(text: &str) -> Option<(CallKey, usize)> {
    let mut parts = text.split('-');
    let mut number = || u32::from_str_radix(parts.next()?, 16).ok();
    let (index, generation, place) = (number()?, number()?, number()?);
    let key = CallKey { index, generation };
    parts.next().is_none().then_some((key, place as usize))
}

impl Call {
    /// Takes `key` for a request. A key that served before would get the answer to the request
    /// before from a modern client, but not from a legacy one.
    pub(in crate::handler) fn use_key(&self, key: &str) -> Result<(), CallError> {
        let mut used = self.0.question_keys.borrow_mut();
        if used.iter().any(|it| **it == *key) {
            return Err(CallError::internal(format!(
                "two requests of the handler have the key {key:?}: keys must be unique within a \
                 call"
            )));
        }
        used.push(key.into());
        Ok(())
    }

    /// The client's answer to the request `key` from before this run.
    pub(in crate::handler) fn known_answer(&self, key: &str) -> Option<Value> {
        self.with_rounds(|rounds| rounds.as_ref()?.answers.get(key).cloned())
    }

    /// Sends a request to the client; returns its place.
    pub(in crate::handler) async fn open_question(
        &self,
        key: &str,
        request: ClientRequest,
    ) -> usize {
        let state = &self.0;
        let place = state.questions.borrow().len();
        let era = state.options.borrow().era();
        if !state.is_task.get() {
            self.warn_of_repetition(key, era);
        }
        let mut event = Vec::new();
        let is_sent = era == Some(Era::Legacy) && !state.is_task.get();
        if is_sent {
            let id = question_id(state.key.get(), place);
            request.write_request(&mut event, &id);
        }
        state.questions.borrow_mut().push(Question {
            key: key.to_owned(),
            request,
            answer: None,
            is_passed_on: false,
            waiter: None,
        });
        match is_sent {
            true => {
                let message = event;
                self.queue(StreamItem::Question { place, message }).await;
            }
            // The shard sends all open requests: as messages of the task, or by ending this run.
            false => state
                .event_queue
                .leave(CallEvent::InputNeeded(state.key.get())),
        }
        place
    }

    /// Takes the answer to a request, if it has arrived.
    pub(in crate::handler) fn take_answer(&self, place: usize) -> Option<Result<Value, String>> {
        let mut questions = self.0.questions.borrow_mut();
        questions.get_mut(place)?.answer.take()
    }

    pub(in crate::handler) fn wait_for_answer(&self, place: usize, waker: &Waker) {
        if let Some(question) = self.0.questions.borrow_mut().get_mut(place) {
            question.waiter = Some(waker.clone());
        }
    }

    /// Takes the requests of a task that were not sent yet, each with its place and its id as a
    /// request.
    pub(crate) fn questions_to_pass_on(&self) -> Vec<(usize, String, String, ClientRequest)> {
        let key = self.0.key.get();
        let mut questions = self.0.questions.borrow_mut();
        let open = questions.iter_mut().enumerate();
        open.filter(|(_, question)| !question.is_passed_on)
            .map(|(place, question)| {
                question.is_passed_on = true;
                let id = question_id(key, place);
                (place, id, question.key.clone(), question.request.clone())
            })
            .collect()
    }

    /// The place of the request with the key `key` that waits for an answer.
    pub(crate) fn place_of(&self, key: &str) -> Option<usize> {
        let questions = self.0.questions.borrow();
        let is_it = |question: &Question| question.key == key && question.answer.is_none();
        questions.iter().position(is_it)
    }

    /// Gives the handler the client's answer to the request at `place`, if it waits for one.
    pub(crate) fn answer(&self, place: usize, answer: impl FnOnce() -> Result<Value, String>) {
        let waiter = match self.0.questions.borrow_mut().get_mut(place) {
            Some(question) if question.is_of_upstream() => {
                if question.answer.is_none() && !question.is_passed_on {
                    question.answer = Some(answer());
                    let answered = CallEvent::Answered(self.0.key.get());
                    self.0.event_queue.leave(answered);
                }
                None
            }
            Some(question) if question.answer.is_none() => {
                question.answer = Some(answer());
                question.waiter.take()
            }
            _ => None,
        };
        if let Some(waker) = waiter {
            waker.wake();
            self.0.event_queue.note_task_woken();
        }
    }

    /// Fails every request of the handler that waits for an answer.
    pub(crate) fn fail_questions(&self, text: &str) {
        let places = self.0.questions.borrow().len();
        for place in 0..places {
            self.answer(place, || Err(text.to_owned()));
        }
    }

    /// Whether the handler has sent a request in this run.
    pub(crate) fn has_questions(&self) -> bool {
        !self.0.questions.borrow().is_empty()
    }

    /// The requests of the handler in this run, and the state for the next run.
    pub(crate) fn take_questions(&self) -> (Vec<(String, ClientRequest)>, Rounds) {
        let questions = self.0.questions.take().into_iter();
        let requests = questions.map(|question| (question.key, question.request));
        (requests.collect(), self.with_rounds(std::mem::take))
    }
}
