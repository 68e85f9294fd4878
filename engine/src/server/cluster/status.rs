//! The cluster as this node sees it, for an administrator.

use corelane_cluster::frame::Stage;
use corelane_cluster::{Health, MemberView};
use serde_json::{Value, json};

use super::frames::unix_s;
use super::host::Host;
use super::link::Link;

impl Host {
    /// The cluster as this node sees it. It names no key and no session.
    pub(super) fn status(&self, link: &Link) -> Value {
        let now = self.now();
        let core = &self.core;
        let (unwritten, lag_us) = core.replication_lag(now);
        let me = core.process();
        let own_keys = self.keys.0.fingerprints();
        let members = core.members(now);
        let rows = members.iter().map(|it| row(it, &members, unix_s()));
        let tables = core.tables().into_iter();
        let tables = tables.map(|(name, entries, limit)| {
            let bounds = json!({ "entries": entries, "limit": limit });
            (name.to_owned(), bounds)
        });
        json!({
            "node": me.node,
            "start": me.incarnation,
            "stage": stage(core.stage()),
            "is_connected": self.is_connected,
            "is_isolated": core.is_isolated(),
            "unusable": self.unusable,
            "server": link.server().filter(|_| self.is_connected),
            "level": core.level(),
            "sealing_key": own_keys.first().map(|key| format!("{key:016x}")),
            "members": rows.collect::<Vec<Value>>(),
            "sessions": core.sessions().count(),
            "sessions_unwritten": unwritten,
            "replication_lag_ms": lag_us / 1_000,
            "messages_dropped": link.dropped(),
            "unheard": self.unheard.len(),
            "counts": self.counts,
            "tables": tables.collect::<serde_json::Map<String, Value>>(),
        })
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Joining => "joining",
        Stage::Alive => "alive",
        Stage::Draining => "draining",
    }
}

fn row(member: &MemberView, all: &[MemberView], unix_s: u64) -> Value {
    let health = match member.health {
        Health::Alive => "alive",
        Health::Suspect => "suspect",
        Health::Unheard => "unheard",
        Health::Gone => "gone",
    };
    // A session that it makes must be opened by every other node that lives.
    let lives = all.iter().filter(|it| it.health != Health::Gone);
    let lagging = lives.filter(|it| !it.keys.contains(&member.sealing_key));
    let lagging: Vec<u16> = lagging.map(|it| it.process.node).collect();
    let clock_s = member.unix_s.abs_diff(unix_s);
    json!({
        "node": member.process.node,
        "start": member.process.incarnation,
        "stage": stage(member.stage),
        "health": health,
        "silence_ms": member.silence_us / 1_000,
        "clock_differs_s": clock_s.saturating_sub(member.silence_us / 1_000_000),
        "keys": member.keys.iter().map(|key| format!("{key:016x}")).collect::<Vec<_>>(),
        "sealing_key": format!("{:016x}", member.sealing_key),
        "nodes_without_its_key": lagging,
    })
}
