//! The answers of a shard to requests for lists; see [`inspection`](super::inspection).

use super::inspection::{InspectionAnswer, InspectionRequest, Listed, Row};
use super::work::Shard;
use crate::connection::http::Phase;

/// Places of a table that one answer looks at: some 10 us.
const LOOKS_MAX: u32 = 2048;

impl Shard {
    /// Answers a request of an administrator, if there is one. Called once per turn.
    #[inline]
    pub(super) fn handle_inspection(&mut self) {
        if self.control.inspection.is_waiting() {
            self.take_inspection();
        }
    }

    #[cold]
    fn take_inspection(&mut self) {
        let (request, jobs) = self.control.inspection.take();
        if let Some(request) = request {
            self.answer_inspection(&request);
        }
        for job in jobs {
            job(self);
        }
    }

    fn answer_inspection(&mut self, request: &InspectionRequest) {
        let answer = match request.listed {
            Listed::Connections | Listed::Streams => self.list_connections(request),
            Listed::Sessions => self.list_sessions(request),
            Listed::Upstreams => {
                let links = self.links.as_ref();
                links.map_or_else(InspectionAnswer::default, |links| links.inspected(request))
            }
        };
        // Its receiver may have given up.
        let _ = request.answer.try_send(answer);
    }

    fn list_connections(&self, request: &InspectionRequest) -> InspectionAnswer {
        let mut answer = InspectionAnswer::default();
        let places = self.slots.capacity() as u32;
        let until = request.from.saturating_add(LOOKS_MAX).min(places);
        for index in request.from..until {
            if answer.rows.len() >= request.rows_max {
                answer.next = Some(index);
                return answer;
            }
            let key = self.slots.key_of(index);
            let Some((key, connection)) = key.and_then(|key| Some((key, self.slots.get(key)?)))
            else {
                continue;
            };
            let stream_us = connection.stream_started_us();
            if request.listed == Listed::Streams && stream_us.is_none() {
                continue;
            }
            answer.rows.push(Row::Connection {
                key: format!("{}.{index}.{}", self.handling.shard, key.generation),
                state: state_of(connection.phase),
                tls: connection.source.is_tls(),
                listener: connection.source.listener(),
                requests: connection.sequence,
                output_bytes: connection.held_output_bytes(),
                stream_s: stream_us.map(|it| self.now_us.saturating_sub(it) / 1_000_000),
            });
        }
        answer.next = (until < places).then_some(until);
        answer
    }

    fn list_sessions(&self, request: &InspectionRequest) -> InspectionAnswer {
        let mut answer = InspectionAnswer::default();
        let endpoint = &self.handling.endpoint;
        let places = endpoint.session_places() as u32;
        let until = request.from.saturating_add(LOOKS_MAX).min(places);
        for place in request.from..until {
            if answer.rows.len() >= request.rows_max {
                answer.next = Some(place);
                return answer;
            }
            let Some(session) = endpoint.session_at(place as usize) else {
                continue;
            };
            answer.rows.push(Row::Session {
                key: format!("{}.{place}", self.handling.shard),
                revision: session.revision.as_str(),
                age_s: self.now_ms.saturating_sub(session.created_ms) / 1000,
                calls: session.calls().len(),
                streams: session.streams().len(),
                subscriptions: session.subscriptions.len(),
            });
        }
        answer.next = (until < places).then_some(until);
        answer
    }
}

fn state_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Handshaking => "handshaking",
        Phase::ReadingHead => "reading_head",
        Phase::ReadingBody => "reading_body",
        Phase::ReadingMessage => "channel",
        Phase::DecodingMessage => "decoding",
        Phase::Waiting | Phase::Padding => "waiting",
        Phase::Streaming => "streaming",
        Phase::Flushing { .. } => "flushing",
        Phase::Lingering => "lingering",
    }
}
