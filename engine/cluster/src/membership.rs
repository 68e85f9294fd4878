//! The processes of the cluster as this one hears them, and whether it hears itself.

use std::collections::BTreeMap;

use crate::frame::{Heartbeat, Stage};
use crate::id::Process;
use crate::settings::Settings;
use crate::sim::mutated;
use crate::window::Window;

/// One process, by its heartbeats.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) heartbeat: Heartbeat,
    /// The last generation of each list that its node, not only this process of it, had; 0 if none
    /// was heard.
    pub(crate) lists: [u64; 3],
    /// When it was last heard; of the receiver's clock.
    heard_us: u64,
    no_responders_us: Option<u64>,
    is_gone: bool,
    unanswered: u8,
    unreachable_until_us: u64,
    window: Window,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was heard lately.
    Alive,
    /// It is silent, and not long enough to be gone.
    Suspect,
    /// Never heard, but this process has not listened long enough to know.
    Unheard,
    /// It does not live, or cannot be heard.
    Gone,
}

/// All processes that were heard, one for each node number.
#[derive(Debug, Default)]
pub(crate) struct Members {
    nodes: BTreeMap<u16, Member>,
    /// Since when this process listens without a break.
    since_us: u64,
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values()
    }

    pub(crate) fn get(&self, process: Process) -> Option<&Member> {
        let member = self.nodes.get(&process.node)?;
        (member.process == process).then_some(member)
    }

    pub(crate) fn of_node(&self, node: u16) -> Option<&Member> {
        self.nodes.get(&node)
    }

    pub(crate) fn health(&self, process: Process, now_us: u64, settings: &Settings) -> Health {
        match self.nodes.get(&process.node) {
            Some(member) if member.process == process => member.health(now_us, settings),
            Some(member) if member.process.incarnation > process.incarnation => Health::Gone,
            _ if now_us - self.since_us < settings.gone_us => Health::Unheard,
            _ => Health::Gone,
        }
    }

    /// Whether it lives and keeps its sessions, even if requests to it stay unanswered.
    pub(crate) fn keeps_sessions(
        &self,
        process: Process,
        now_us: u64,
        settings: &Settings,
    ) -> bool {
        let member = self.get(process);
        let stays = member.is_none_or(|it| it.heartbeat.stage != Stage::Draining);
        stays && self.health(process, now_us, settings) != Health::Gone
    }

    /// Whether requests may be sent there: it lives, serves, and answered lately.
    pub(crate) fn is_usable(&self, process: Process, now_us: u64, settings: &Settings) -> bool {
        let member = self.get(process);
        let is_reachable = member.is_none_or(|it| now_us >= it.unreachable_until_us);
        is_reachable && self.keeps_sessions(process, now_us, settings)
    }

    /// Whether a frame of `from` is new. A later process of a node replaces the one before.
    pub(crate) fn accept(&mut self, from: Process, sequence: u64, now_us: u64, max: usize) -> bool {
        let is_known = self.nodes.contains_key(&from.node);
        if !is_known && self.nodes.len() >= max {
            return false;
        }
        let member = self.nodes.entry(from.node);
        let member = member.or_insert_with(|| Member::new(from, now_us));
        if from != member.process {
            let lists = member.lists;
            *member = Member::new(from, now_us);
            member.lists = lists;
        }
        member.window.accept(sequence) || mutated!("accept_twice")
    }

    /// Starts the silence of all anew: it was this process that did not listen.
    pub(crate) fn excuse_silence(&mut self, now_us: u64) {
        self.since_us = now_us;
        for member in self.nodes.values_mut() {
            member.heard_us = now_us;
            member.is_gone = false;
            member.no_responders_us = None;
            member.unanswered = 0;
            member.unreachable_until_us = 0;
        }
    }

    /// Takes a heartbeat; the one before it.
    pub(crate) fn heard(
        &mut self,
        from: Process,
        heartbeat: Heartbeat,
        now_us: u64,
    ) -> Option<Heartbeat> {
        let member = self.nodes.get_mut(&from.node)?;
        member.heard_us = now_us;
        member.is_gone = false;
        member.no_responders_us = None;
        for (own, heard) in member.lists.iter_mut().zip(heartbeat.lists) {
            *own = if heard == 0 { *own } else { heard };
        }
        Some(std::mem::replace(&mut member.heartbeat, heartbeat))
    }

    /// A request found no process; true if that proves it gone.
    pub(crate) fn no_responders(
        &mut self,
        process: Process,
        now_us: u64,
        settings: &Settings,
    ) -> bool {
        let Some(member) = self.nodes.get_mut(&process.node) else {
            return true;
        };
        if member.process != process {
            return true;
        }
        let first = *member.no_responders_us.get_or_insert(now_us);
        member.is_gone |= now_us - first >= settings.no_responders_us;
        member.is_gone
    }

    /// The process answered a forward, in any way.
    pub(crate) fn answered(&mut self, process: Process) {
        if let Some(member) = self.nodes.get_mut(&process.node)
            && member.process == process
        {
            member.unanswered = 0;
            member.unreachable_until_us = 0;
            member.no_responders_us = None;
        }
    }

    /// A forward was not accepted in time.
    pub(crate) fn unanswered(&mut self, process: Process, now_us: u64, settings: &Settings) {
        if let Some(member) = self.nodes.get_mut(&process.node)
            && member.process == process
        {
            member.unanswered += 1;
            if member.unanswered >= settings.unanswered_max {
                member.unanswered = 0;
                member.unreachable_until_us = now_us + settings.unreachable_us;
            }
        }
    }
}

impl Member {
    fn new(process: Process, now_us: u64) -> Member {
        Member {
            process,
            heartbeat: Heartbeat::default(),
            lists: [0; 3],
            heard_us: now_us,
            no_responders_us: None,
            is_gone: false,
            unanswered: 0,
            unreachable_until_us: 0,
            window: Window::default(),
        }
    }

    pub(crate) fn silence_us(&self, now_us: u64) -> u64 {
        now_us - self.heard_us
    }

    pub(crate) fn health(&self, now_us: u64, settings: &Settings) -> Health {
        match now_us - self.heard_us {
            _ if self.is_gone => Health::Gone,
            silence if silence >= settings.gone_us => Health::Gone,
            silence if silence >= settings.suspect_us => Health::Suspect,
            _ => Health::Alive,
        }
    }
}
