//! Messages of the bus and results of the store, and the part of the core that each is for.

use crate::cluster::{Cluster, Purpose};
use crate::frame::{Envelope, Frame, Stage};
use crate::id::{Now, Process};
use crate::sim::sim_point;
use crate::vocabulary::{Note, Op, PutResult, ReadResult};

impl Cluster {
    /// Takes a message of the bus.
    pub fn handle_frame(&mut self, now: Now, envelope: Envelope) {
        self.begin(now);
        let Envelope {
            from,
            sequence,
            frame,
        } = envelope;
        let max = self.settings.members_max;
        let later = self.members.of_node(from.node).map(|it| it.process);
        let known = later.map_or(0, |later| later.incarnation);
        if from.incarnation < known {
            return self.on_old_process(from, later, frame);
        }
        if !self.members.accept(from, sequence, now.us, max) {
            sim_point!("frame_refused");
            return self.note(Note::FrameRefused(from));
        }
        if from.incarnation > known.max(1) {
            self.follow_successor(from);
        }
        match frame {
            Frame::Heartbeat(heartbeat) => {
                self.on_heartbeat(now, (from, sequence), *heartbeat);
            }
            _ if self.stage == Stage::Joining => {}
            // The rest of the deadline is for the host, which ends the handler.
            Frame::Forward(xid, _, request) => self.on_forward(now, (from, xid), request),
            Frame::Superseded(by) if by.node == self.me.node && by > self.me => {
                self.superseded(by);
            }
            Frame::Superseded(_) => {}
            Frame::Accepted(xid) => self.on_accepted(from, xid),
            Frame::NotHere(xid) => self.on_not_here(now, from, xid, None),
            Frame::Moved(xid, to) => self.on_not_here(now, from, xid, Some(to)),
            Frame::Unknown(xid, missing) => self.on_unknown(from, xid, missing),
            Frame::Busy(xid, busy) => self.on_busy(from, xid, busy),
            Frame::Part(xid, number, is_last, body) => {
                self.on_part(from, xid, (number, is_last, body));
            }
            Frame::Credit(xid, until) => self.on_credit((from, xid), until),
            Frame::Release(id) => self.on_release(now, from, id),
            Frame::Released(generation, revision, record) => {
                self.on_released(from, (generation, revision), *record);
            }
            Frame::Took(id, generation, revision) => {
                self.on_took(now, from, id, (generation, revision));
            }
            Frame::TookHeard(id, revision) => self.on_took_heard(now, from, id, revision),
            Frame::Merge(id, changes) => self.on_merge(now, id, changes),
            Frame::Update(partition, number, uris) => {
                self.on_update(now, from, (partition, number), uris);
            }
            Frame::Gap(partition, number) => self.on_gap(from, partition, number),
            Frame::GapLost(partition, number) => self.on_gap_lost(from, partition, number),
        }
    }

    /// A process that has a successor sends, because it does not know.
    fn on_old_process(&mut self, from: Process, later: Option<Process>, frame: Frame) {
        sim_point!("old_process");
        self.note(Note::FrameRefused(from));
        match frame {
            // To read a resource once too often does no harm.
            Frame::Update(partition, _, uris) if from != self.me => self.updated(partition, uris),
            Frame::Heartbeat(_) | Frame::Forward(..) if self.stage != Stage::Joining => {
                if let Some(later) = later {
                    self.send(from, Frame::Superseded(later));
                }
            }
            _ => {}
        }
    }

    /// Takes the result of a read.
    pub fn handle_read(&mut self, now: Now, op: Op, result: ReadResult) {
        self.begin(now);
        let Some(doing) = self.ops.remove(&op) else {
            return;
        };
        match doing.purpose {
            Purpose::Claim => self.on_claim_read(now, result),
            Purpose::Generation => self.on_generation_read(now, result),
            Purpose::Level => self.on_level_read(now, result),
            Purpose::Lookup(key) => self.on_lookup_read(now, key, op, result),
            Purpose::Session(key) => self.on_session_read(now, key, (op, doing.epoch), result),
            Purpose::Tombstone(key) => self.on_tombstone_read(now, key, op, result),
        }
    }

    /// Takes the result of a write.
    pub fn handle_put(&mut self, now: Now, op: Op, result: PutResult) {
        self.begin(now);
        let Some(doing) = self.ops.remove(&op) else {
            return;
        };
        match doing.purpose {
            Purpose::Claim => self.on_claim_put(now, result),
            Purpose::Generation => self.on_generation_put(now, result),
            Purpose::Level => self.on_level_put(now, result),
            Purpose::Session(key) => self.on_session_put(now, key, (op, doing.epoch), result),
            Purpose::Tombstone(key) => self.on_tombstone_put(now, key, op, result),
            Purpose::Lookup(_) => {}
        }
    }
}
