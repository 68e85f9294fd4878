//! Programs that are upstreams: their processes, and the calls on their standard input and output.
//!
//! A process serves one owner of a session, or on each shard all clients where there are no
//! sessions. It is started for a call, and stopped when its session ends or when it breaks the
//! protocol: then its calls fail. A start that fails counts as a failure of the upstream, so that
//! its breaker bounds how often one that keeps ending is started.

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use corelane_gateway::relay::{Executed, Failure, LineMessage, Reason, read_line, write_refusal};
use corelane_io::chunk::Chunk;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;
use corelane_protocol::framing::line::Step;
use corelane_protocol::mcp::era::Era;

use super::line_link::LineLink;
use super::sessions::cancelled;
use super::{Link, LinkState, Links, TIMEOUT};
use crate::upstream::board::{ControlEvent, ProcessRequest, StartedProcess};
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// Bytes of a line that is no message in the log.
const LOGGED_BYTES: usize = 200;

/// The processes of one program, by the owners of their sessions.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_owner: HashMap<SessionOwner, Process, foldhash::fast::RandomState>,
    last_number: u64,
}

#[derive(Debug)]
enum Process {
    Starting { number: u64, waiting: Vec<RelayKey> },
    Running(SlotKey),
}

impl Processes {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// Takes out the one that was requested with this number, with its owner and the calls that
    /// wait for it.
    fn take_starting(&mut self, number: u64) -> Option<(SessionOwner, Vec<RelayKey>)> {
        let is_it = |process: &Process| matches!(process, Process::Starting { number: its, .. } if *its == number);
        let mut all = self.by_owner.iter();
        let owner = all.find(|(_, process)| is_it(process))?.0.clone();
        match self.by_owner.remove(&owner)? {
            Process::Starting { waiting, .. } => Some((owner, waiting)),
            Process::Running(_) => None,
        }
    }
}

impl Links {
    /// Sends a call to the process of its owner, which is started for it if there is none.
    pub(super) fn begin_on_line(&mut self, rings: &mut Rings, key: RelayKey) {
        let Some(relay) = self.port.find(key) else {
            return;
        };
        let (upstream, owner) = (relay.upstream, relay.owner());
        drop(relay);
        let owner = owner.unwrap_or_else(|| self.port.shared_owner(upstream));
        let (waiting_max, processes_max) = (self.settings.waiting_max, self.settings.processes_max);
        let processes = &mut self.endpoint(upstream).processes;
        let count = processes.by_owner.len();
        match processes.by_owner.get_mut(&owner) {
            Some(Process::Running(link)) => {
                let link = *link;
                self.start_on_line(rings, link, key);
            }
            Some(Process::Starting { waiting, .. }) if waiting.len() < waiting_max => {
                waiting.push(key);
            }
            None if count < processes_max => self.start_process(upstream, owner, key),
            full => {
                let knob = match full {
                    Some(_) => "gateway.waiting_max",
                    None => "gateway.processes_max",
                };
                let failure = Failure::unsent(Reason::Busy).with_detail(format!("{knob} of it"));
                self.fail(key, &failure);
            }
        }
    }

    fn start_process(&mut self, upstream: u16, owner: SessionOwner, key: RelayKey) {
        let shard = self.shard;
        let processes = &mut self.endpoint(upstream).processes;
        processes.last_number += 1;
        let number = processes.last_number;
        let waiting = vec![key];
        let process = Process::Starting { number, waiting };
        processes.by_owner.insert(owner, process);
        let request = ProcessRequest {
            upstream,
            shard,
            number,
        };
        if !self.board.send(ControlEvent::Start(request)) {
            // The server ends.
            self.process_failed(upstream, number);
        }
    }

    fn process_failed(&mut self, upstream: u16, number: u64) {
        let started = self.endpoint(upstream).processes.take_starting(number);
        let detail = "its program does not start, see the log of this server";
        let failure = Failure::unsent(Reason::Connect).with_detail(detail);
        for call in started.map(|(_, waiting)| waiting).unwrap_or_default() {
            self.fail(call, &failure);
        }
    }

    /// Takes a process that was started, or was not. One that nothing waits for any more is
    /// stopped.
    pub(super) fn take_process(
        &mut self,
        rings: &mut Rings,
        ProcessRequest {
            upstream, number, ..
        }: ProcessRequest,
        started: Option<StartedProcess>,
    ) {
        let Some(index) = started.as_ref().and_then(|_| self.free.pop()) else {
            return self.process_failed(upstream, number);
        };
        let taken = self.endpoint(upstream).processes.take_starting(number);
        let (Some((owner, waiting)), Some(started)) = (taken, started) else {
            return self.free.push(index);
        };
        let local = self.slots.insert_at(
            index - self.indexes.start,
            Link {
                upstream,
                state: LinkState::Line,
                is_sending: false,
                is_armed: true,
                is_paused: false,
                secured: None,
                line: Some(Box::new(LineLink::new(owner.clone(), started.leash))),
            },
        );
        let key = SlotKey {
            index,
            generation: local.generation,
        };
        if let Err(error) = rings.of(key).install(index, started.socket.as_fd()) {
            tracing::warn!(%error, "the socket of a program cannot be used");
            self.slots.remove(local);
            self.free.push(index);
            let failure = Failure::unsent(Reason::Connect);
            return waiting
                .into_iter()
                .for_each(|call| self.fail(call, &failure));
        }
        rings.of(key).recv_multishot(key);
        let processes = &mut self.endpoint(upstream).processes;
        processes.by_owner.insert(owner, Process::Running(key));
        for call in waiting {
            self.start_on_line(rings, key, call);
        }
    }

    /// Sends the request of a call to a process.
    fn start_on_line(&mut self, rings: &mut Rings, link: SlotKey, key: RelayKey) {
        let local = self.local(link);
        let line = self.slots.get_mut(local).and_then(|it| it.line.as_mut());
        let (Some(line), Some(mut relay)) = (line, self.port.find(key)) else {
            return;
        };
        let bytes = relay.request.as_ref().map_or(0, |request| request.len());
        if !line.has_room(bytes) {
            drop(relay);
            return self.fail(key, &Failure::unsent(Reason::Busy));
        }
        (relay.link, relay.tries) = (Some(link), relay.tries + 1);
        let request = relay.request.take();
        if relay.is_subscription() {
            line.subscriptions.push(key);
        }
        if relay.is_session_stream() {
            return relay.open_stream();
        }
        if let Some(request) = request {
            line.push(request);
        }
        let is_answerable = relay.is_answerable();
        if is_answerable {
            line.calls.insert(key.id, key);
        } else {
            relay.accept();
        }
        drop(relay);
        if !is_answerable {
            self.end(key);
        }
        self.flush_line(rings, link);
    }

    /// Sends the next line, unless one is on its way.
    fn flush_line(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local).filter(|it| !it.is_sending) else {
            return;
        };
        if let Some(chunk) = link.line.as_mut().and_then(|line| line.pop()) {
            link.is_sending = true;
            rings.of(key).send(key, chunk, 0);
        }
    }

    /// A line was sent, or was not.
    pub(super) fn sent_line(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (chunk, from): (Chunk, usize),
        outcome: Result<usize, i32>,
    ) {
        match outcome {
            Ok(bytes) if from + bytes < chunk.len() => {
                rings.of(key).send(key, chunk, from + bytes);
            }
            Ok(_) => {
                self.port.give(chunk);
                let local = self.local(key);
                if let Some(link) = self.slots.get_mut(local) {
                    link.is_sending = false;
                }
                self.flush_line(rings, key);
            }
            Err(_) => {
                self.port.give(chunk);
                self.end_line(rings, key, &ended());
            }
        }
    }

    /// Handles the lines that have come.
    pub(super) fn read_lines(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let line_bytes_max = self.settings.message_bytes_max;
        let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) else {
            return;
        };
        let input = std::mem::take(&mut line.input);
        let mut framer = std::mem::take(&mut line.framer);
        let mut from = 0;
        loop {
            match framer.step(&input[from..], line_bytes_max) {
                Step::NeedMore { consumed } => {
                    from += consumed;
                    break;
                }
                Step::Line { line, consumed } => {
                    self.take_line(key, line);
                    from += consumed;
                }
                Step::TooLong { .. } => {
                    let failure = Failure::new(Reason::Protocol, Executed::Unknown);
                    let detail = format!(
                        "a line of more than {line_bytes_max} bytes: gateway.message_bytes_max"
                    );
                    return self.end_line(rings, key, &failure.with_detail(detail));
                }
            }
        }
        if let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) {
            line.keep_input(input, from, framer);
        }
        self.flush_line(rings, key);
    }

    /// Gives a line to the call that it is for.
    fn take_line(&mut self, key: SlotKey, text: &[u8]) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return;
        };
        let (upstream, Some(line)) = (link.upstream, &mut link.line) else {
            return;
        };
        match read_line(text) {
            LineMessage::Answer(id) => {
                if let Some(call) = line.calls.remove(&id) {
                    line.forget(call);
                    self.give_line(call, text);
                    self.end(call);
                }
            }
            LineMessage::Progress(id) => {
                if let Some(call) = line.calls.get(&id).copied()
                    && self.port.find(call).is_some_and(|relay| relay.has_room())
                {
                    self.give_line(call, text);
                }
            }
            LineMessage::Notification(of) => {
                let all = line.subscriptions.iter().copied();
                let named = all.filter(|it| of.is_none_or(|id| id == it.id));
                for call in named.collect::<Vec<_>>() {
                    self.give_line(call, text);
                }
            }
            LineMessage::Request { id, is_ping } => {
                let mut answer = self.port.chunk();
                write_refusal(&mut answer, &text[id], is_ping);
                answer.push(b'\n');
                // A process that reads no answers gets no more of them.
                if line.has_room(answer.len()) {
                    line.push(answer);
                }
            }
            LineMessage::Noise => self.log_noise(upstream, text),
        }
    }

    fn give_line(&mut self, call: RelayKey, text: &[u8]) {
        let table = self.port.borrow_table();
        let to = (self.port.event_queue(), &*table.client_info);
        if let Some(mut relay) = self.port.find(call) {
            relay.take_line(text, to);
        }
    }

    /// A program printed something else.
    fn log_noise(&self, upstream: u16, text: &[u8]) {
        let endpoint = &self.endpoints[usize::from(upstream)];
        if let Some(suppressed) = endpoint.warnings.admit(self.now_ms) {
            let table = self.port.borrow_table();
            let upstream = &*table.endpoints[usize::from(upstream)].name;
            let line = String::from_utf8_lossy(&text[..text.len().min(LOGGED_BYTES)]);
            let line = line.escape_debug().to_string();
            tracing::warn!(
                upstream,
                line,
                suppressed,
                "its program prints a line that is no message"
            );
        }
    }

    /// Whether a link is one to a process.
    pub(super) fn is_line(&self, key: SlotKey) -> bool {
        let link = self.slots.get(self.local(key));
        link.is_some_and(|link| link.line.is_some())
    }

    /// Ends a call on its way to a process, which is notified. One that does not open its session
    /// in time is stopped.
    pub(super) fn cancel_on_line(
        &mut self,
        rings: &mut Rings,
        (link, key): (SlotKey, RelayKey),
        opens_session: bool,
    ) {
        let local = self.local(link);
        let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) else {
            return;
        };
        let was_sent = line.calls.contains_key(&key.id);
        line.forget(key);
        if opens_session {
            return self.end_line(rings, link, &TIMEOUT);
        }
        let body = cancelled(key.id);
        if was_sent && line.has_room(body.len()) {
            let mut chunk = Chunk::from(body);
            chunk.push(b'\n');
            line.push(chunk);
            self.flush_line(rings, link);
        }
    }

    /// A process has ended, or is ended now: it is stopped, and its calls fail.
    pub(super) fn end_line(&mut self, rings: &mut Rings, key: SlotKey, failure: &Failure) {
        let local = self.local(key);
        let Some(link) = self.slots.remove(local) else {
            return;
        };
        rings.of(key).close(key);
        let Some(mut line) = link.line else {
            return;
        };
        let upstream = link.upstream;
        self.endpoint(upstream)
            .processes
            .by_owner
            .remove(&line.owner);
        for call in line.take_calls() {
            self.fail(call, failure);
        }
        // Its session ends with it, and with that the calls which wait for the session.
        self.session_failed(upstream, &line.owner, failure);
    }

    /// Stops the processes whose sessions have ended.
    pub(super) fn stop_unused_processes(&mut self, rings: &mut Rings) {
        for upstream in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[upstream];
            let era = self.port.borrow_table().endpoints[upstream].era;
            if era == Era::Modern || endpoint.processes.is_empty() {
                continue;
            }
            let all = endpoint.processes.by_owner.iter();
            let unused = all.filter_map(|(owner, process)| match process {
                Process::Running(link) if endpoint.sessions.head(owner).is_none() => Some(*link),
                _ => None,
            });
            let is_idle = |link: &SlotKey| {
                let line = self.slots.get(self.local(*link)).map(|it| &it.line);
                line.is_some_and(|line| line.as_ref().is_some_and(|line| line.is_idle()))
            };
            let unused: Vec<_> = unused.filter(is_idle).collect();
            for link in unused {
                self.end_line(rings, link, &ended());
            }
        }
    }
}

/// The process has ended before it answered.
pub(super) fn ended() -> Failure {
    Failure::new(Reason::Closed, Executed::Unknown)
}
