//! The control socket of a running server: its state and its lists as JSON, and a few changes.
//!
//! | request | answer |
//! |---|---|
//! | GET /api/v1/status | the state, the conditions, and a row for each shard |
//! | GET /api/v1/connections, streams, sessions | rows of one shard: `shard`, `from`, `limit` |
//! | GET /api/v1/upstreams | the upstreams, with the links of each shard |
//! | GET /api/v1/cluster | the cluster as this node sees it |
//! | GET /api/v1/counters | the counters of each shard; with `ago_s` those of so long ago |
//! | GET /api/v1/slow | the slow requests that ended last, the newest first |
//! | POST /api/v1/cluster/finalize | raises the level of the records of the cluster |
//! | POST /api/v1/upstreams/refresh | reads the lists of an upstream again |
//! | POST /api/v1/slow/reset | forgets them |
//! | POST /api/v1/log | sets the level of the log for a time |
//! | POST /api/v1/drain, stop | drains the server, with or without time for its calls |
//! | POST /api/v1/reload | reads the profile and the files that it names again |
//! | POST /api/v1/upgrade | lets another process take over |
//!
//! A shard that is stuck delays no answer: its counters are read from its page, and a list says
//! that it did not answer.

use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corelane_control::admin::{AdminAnswer, AdminRequest, AdminSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use socket2::Socket;

use super::ClusterRequests;
use super::administered::Administered;
use super::error::{Error, Result};
use super::figures::Figures;
use super::history::History;
use super::metrics::{read_shard, server_state};
use super::records::SlowRequests;
use super::reload::{ADOPTION_TIME, ReloadRequest, What};
use super::reload_result::ReloadError;
use super::reload_rows::{refused_row, rows_of, upstream_rows};
use super::shard_row::shard_row;
use super::upgrade_request::upgrade;
use super::upstreams::UpstreamRequests;
use crate::log;
use crate::meter::conditions::conditions;
use crate::meter::shard_reading::ShardReading;
use crate::profile::{Admin, Unix, UnixName};
use crate::shard::ShardControl;
use crate::shard::inspection::{InspectionAnswer, InspectionRequest, Listed};
use crate::transport::unix::{self, SocketFile};

/// Clients that may wait for the socket.
const BACKLOG: u32 = 16;
/// How long a shard gets to answer a request for a list: a stuck one does not.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(200);
/// Rows of one answer at most.
const ROWS_MAX: usize = 200;
/// The longest time that shards can get for a reload.
const RELOAD_TIME_MAX_MS: u64 = 20_000;
/// The thread of upstreams does not answer.
const STUCK: &str = "the thread of upstreams does not answer: see the log";
/// The longest time for which another level of the log can be set.
const LEVEL_TIME_MAX_S: u64 = 24 * 3600;

/// The control socket, until this is dropped.
#[derive(Debug)]
pub(super) struct AdminListener {
    socket: AdminSocket,
    /// Of the listener.
    shared: Option<OwnedFd>,
    file: Option<SocketFile>,
}

/// The parts that answer requests.
struct Site {
    server: Administered,
    /// The last whole copy of each page, for a page that is being written all the time.
    last: Mutex<Vec<ShardReading>>,
    history: History,
    /// One list at a time.
    lists: Mutex<()>,
}

/// The body of a request for another level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelRequest {
    level: String,
    seconds: u64,
}

/// The body of a request for a reload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReloadBody {
    check: bool,
    rollback: bool,
    wait: bool,
    /// How long the shards get.
    within_ms: u64,
}

impl Default for ReloadBody {
    fn default() -> ReloadBody {
        ReloadBody {
            check: false,
            rollback: false,
            wait: false,
            within_ms: ADOPTION_TIME.as_millis() as u64,
        }
    }
}

/// The body of a request to read lists again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    name: String,
}

/// The body of a request to end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StopRequest {
    now: bool,
}

/// The control socket of a server that does not serve yet.
#[derive(Debug)]
pub(super) struct BoundAdmin {
    path: PathBuf,
    socket: Socket,
    shared: OwnedFd,
    file: Option<SocketFile>,
}

impl BoundAdmin {
    /// Listens where the profile sets it, if it does: with the socket of an earlier process if that
    /// is the same.
    ///
    /// # Errors
    /// The path cannot be listened on.
    pub(super) fn new(admin: &Admin, inherited: Option<OwnedFd>) -> Result<Option<BoundAdmin>> {
        let Some(path) = &admin.socket else {
            return Ok(None);
        };
        let name = UnixName::Path(path.clone());
        // Readable and writable for the user of the server alone.
        let is_it = |it: &Socket| {
            let bound = it.local_addr();
            bound.is_ok_and(|it| it.as_pathname() == Some(path.as_path()))
        };
        let listening = match inherited.map(Socket::from).filter(is_it) {
            Some(socket) => unix::go_on_listening(&name, socket, BACKLOG),
            None => unix::listen(&name, &Unix::default(), BACKLOG),
        };
        let (socket, file) = listening.map_err(|error| failed(path, &error))?;
        let shared = socket.try_clone().map_err(|error| failed(path, &error))?;
        Ok(Some(BoundAdmin {
            path: path.clone(),
            socket,
            shared: shared.into(),
            file,
        }))
    }

    /// Answers commands.
    ///
    /// # Errors
    /// There are no threads for that.
    pub(super) fn serve(mut self, server: Administered) -> Result<AdminListener> {
        self.file
            .iter_mut()
            .for_each(|file| file.set_of_other(false));
        let site = Site {
            last: Mutex::new(vec![ShardReading::default(); server.shards.len()]),
            history: History::start(&server.shards)?,
            server,
            lists: Mutex::new(()),
        };
        let owner = rustix::process::geteuid().as_raw();
        let listener = UnixListener::from(OwnedFd::from(self.socket));
        let started = AdminSocket::start(listener, owner, move |request| site.answer(&request));
        Ok(AdminListener {
            socket: started.map_err(|error| failed(&self.path, &error))?,
            shared: Some(self.shared),
            file: self.file,
        })
    }
}

fn failed(path: &Path, error: &dyn fmt::Display) -> Error {
    let path = path.display();
    Error::Public(format!("admin.socket = \"{path}\" of the profile: {error}"))
}

impl AdminListener {
    /// A further descriptor of the listening socket, once.
    pub(super) fn share(&mut self) -> Option<OwnedFd> {
        self.shared.take()
    }

    /// Accepts no more: another process does, and has the file.
    pub(super) fn retire(&mut self) {
        self.socket.retire();
        self.file.iter_mut().for_each(|it| it.set_of_other(true));
    }
}

impl Site {
    fn answer(&self, request: &AdminRequest) -> AdminAnswer {
        let Some(name) = request.path.strip_prefix("/api/v1/") else {
            return failure(404, "paths begin with /api/v1/");
        };
        let answered = match (request.is_change, name) {
            (false, "status") => Ok(self.status()),
            (false, "counters") => self.counters(&request.query),
            (false, "connections") => self.list(Listed::Connections, &request.query),
            (false, "streams") => self.list(Listed::Streams, &request.query),
            (false, "sessions") => self.list(Listed::Sessions, &request.query),
            (false, "upstreams") => self.upstreams(),
            (false, "cluster") => self.cluster(),
            (true, "cluster/finalize") => self.finalize(),
            (true, "upstreams/refresh") => self.refresh(&request.body),
            (false, "slow") => self.slow().map(SlowRequests::list),
            (true, "slow/reset") => self.slow().map(|it| json!({ "forgotten": it.reset() })),
            (true, "log") => set_level(&request.body),
            (true, "drain") => Ok(self.end(false)),
            (true, "stop") => self.stop(&request.body),
            (true, "reload") => self.reload(&request.body),
            (true, "upgrade") => upgrade(&self.server.upgrader, &request.body),
            (
                true,
                "status" | "counters" | "connections" | "streams" | "sessions" | "slow"
                | "upstreams" | "cluster",
            ) => {
                return failure(405, "this is read with GET");
            }
            (
                false,
                "log" | "drain" | "stop" | "reload" | "upgrade" | "slow/reset"
                | "upstreams/refresh" | "cluster/finalize",
            ) => {
                return failure(405, "this is a change, and needs POST");
            }
            _ => return failure(404, "there is no such thing"),
        };
        match answered {
            Ok(value) => AdminAnswer {
                status: 200,
                body: value.to_string(),
            },
            Err(text) => failure(400, &text),
        }
    }

    /// The shards as their pages have them.
    fn read_shards(&self) -> MutexGuard<'_, Vec<ShardReading>> {
        let mut shards = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, control) in shards.iter_mut().zip(&self.server.shards) {
            read_shard(shard, control);
        }
        shards
    }

    fn status(&self) -> Value {
        let shards = self.read_shards();
        let of_server = server_state(&self.server.shards);
        let conditions = conditions(&shards, of_server);
        let set = conditions.iter().filter(|(_, is_set)| *is_set);
        let set: Vec<&str> = set.map(|(name, _)| *name).collect();
        let state = match (of_server.is_draining, set.is_empty()) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "degraded",
        };
        let rows = (0..)
            .zip(&*shards)
            .map(|(number, it)| shard_row(number, it));
        json!({
            "state": state,
            "conditions": set,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.server.started.elapsed().as_secs(),
            "addresses": self.server.addresses,
            "log_lines_dropped": log::dropped(),
            "shards": rows.collect::<Vec<Value>>(),
        })
    }

    /// The counters, or those of an earlier look.
    fn counters(&self, query: &str) -> std::result::Result<Value, String> {
        let Some(text) = value_of(query, "ago_s") else {
            return Ok(Figures::of(&self.read_shards()).json(0.0));
        };
        let ago_s = text.parse();
        let ago_s = ago_s.map_err(|_| format!("invalid ago_s {text:?}: give a number"))?;
        let found = self.history.at(Duration::from_secs(ago_s));
        found.ok_or_else(|| "the server has just started".to_owned())
    }

    /// A part of a list, of one shard.
    fn list(&self, listed: Listed, query: &str) -> std::result::Result<Value, String> {
        let number = |name: &str, default: u32| match value_of(query, name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("invalid {name} {text:?}: give a number")),
        };
        let shards = self.server.shards.len() as u32;
        let (shard, from) = (number("shard", 0)?, number("from", 0)?);
        let limit = number("limit", ROWS_MAX as u32)? as usize;
        let Some(control) = self.server.shards.get(shard as usize) else {
            return Err(format!(
                "there is no shard {shard}: the server has {shards}"
            ));
        };
        let _one = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = inspect(control, listed, (from, limit.clamp(1, ROWS_MAX)));
        let next_shard = (shard + 1 < shards).then(|| json!({ "shard": shard + 1, "from": 0 }));
        let next = answer.as_ref().and_then(|answer| answer.next);
        let next = next.map(|from| json!({ "shard": shard, "from": from }));
        Ok(json!({
            "shard": shard,
            "answered": answer.is_some(),
            "rows": answer.map(|answer| answer.rows).unwrap_or_default(),
            "next": next.or(next_shard),
        }))
    }

    /// The upstreams as the thread that reads their lists sees them, each with the links of the
    /// shards to it.
    fn upstreams(&self) -> std::result::Result<Value, String> {
        let mut upstreams = self.requests()?.inspect().ok_or(STUCK)?;
        let _one = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, control) in self.server.shards.iter().enumerate() {
            let answer = inspect(control, Listed::Upstreams, (0, usize::MAX));
            let rows = json!(answer.map(|answer| answer.rows).unwrap_or_default());
            for row in rows.as_array().into_iter().flatten() {
                let mut upstreams = upstreams.iter_mut();
                if let Some(upstream) = upstreams.find(|it| it["number"] == row["number"]) {
                    let mut row = row.clone();
                    row["shard"] = json!(shard);
                    match upstream["shards"].as_array_mut() {
                        Some(shards) => shards.push(row),
                        None => upstream["shards"] = json!([row]),
                    }
                }
            }
        }
        Ok(json!({ "upstreams": upstreams }))
    }

    fn refresh(&self, body: &[u8]) -> std::result::Result<Value, String> {
        let RefreshRequest { name } = parsed(body)?;
        match self.requests()?.refresh(&name).ok_or(STUCK)? {
            true => Ok(json!({ "refreshed": name })),
            false => Err(format!("no upstream is named {name:?}")),
        }
    }

    fn node(&self) -> std::result::Result<&ClusterRequests, String> {
        let cluster = self.server.cluster.as_ref();
        cluster.ok_or_else(|| "the server is no node of a cluster (cluster.name)".to_owned())
    }

    fn cluster(&self) -> std::result::Result<Value, String> {
        let status = self.node()?.status();
        status.ok_or_else(|| "the thread of the cluster does not answer: see the log".to_owned())
    }

    fn finalize(&self) -> std::result::Result<Value, String> {
        let (from, to) = self.node()?.finalize()?;
        Ok(json!({ "from": from, "to": to }))
    }

    fn requests(&self) -> std::result::Result<&UpstreamRequests, String> {
        let requests = self.server.upstreams.as_ref();
        requests.ok_or_else(|| "the server has no upstreams: it started without one".to_owned())
    }

    fn slow(&self) -> std::result::Result<&SlowRequests, String> {
        let slow = self.server.slow.as_deref();
        slow.ok_or_else(|| "admin.slow_requests_max of the profile is 0: none are kept".to_owned())
    }

    fn end(&self, at_once: bool) -> Value {
        let is_first = self.server.end(at_once);
        json!({ "draining": true, "was_draining": !is_first })
    }

    fn stop(&self, body: &[u8]) -> std::result::Result<Value, String> {
        let request: StopRequest = parsed(body)?;
        Ok(self.end(request.now))
    }

    fn reload(&self, body: &[u8]) -> std::result::Result<Value, String> {
        let request: ReloadBody = parsed(body)?;
        if request.within_ms > RELOAD_TIME_MAX_MS {
            return Err(format!("give the shards at most {RELOAD_TIME_MAX_MS} ms"));
        }
        let reloader = self.server.reloader.as_ref();
        let reloader = reloader.ok_or("the server is starting")?;
        let result = reloader.reload(ReloadRequest {
            what: match request.rollback {
                true => What::Previous,
                false => What::Source,
            },
            is_check: request.check,
            waits: request.wait,
            within: Duration::from_millis(request.within_ms),
        });
        match result {
            Ok(report) => Ok(json!({
                "applied": !report.is_check,
                "generation": report.generation,
                "changed": rows_of(&report.changed),
                "refused": [],
                "not_applied": report.not_applied,
                "upstreams": upstream_rows(&report.upstreams),
                "adopted_us": report.adopted_us,
            })),
            Err(ReloadError::Refused { refused }) => Ok(json!({
                "applied": false,
                "changed": [],
                "refused": refused.iter().map(refused_row).collect::<Vec<Value>>(),
                "adopted_us": [],
            })),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Has a shard list a part of a table: from a place on, so many rows at most. None if it is stuck.
fn inspect(
    control: &ShardControl,
    listed: Listed,
    (from, rows_max): (u32, usize),
) -> Option<InspectionAnswer> {
    let (answer, answered) = sync_channel(1);
    control.inspection.leave(InspectionRequest {
        listed,
        from,
        rows_max,
        answer,
    });
    control.wake();
    answered.recv_timeout(ANSWER_TIME_MAX).ok()
}

fn set_level(body: &[u8]) -> std::result::Result<Value, String> {
    let LevelRequest { level, seconds } = parsed(body)?;
    if !(1..=LEVEL_TIME_MAX_S).contains(&seconds) {
        return Err(format!("give a time of 1 s to {LEVEL_TIME_MAX_S} s"));
    }
    log::set_level(&level, Duration::from_secs(seconds))?;
    Ok(json!({ "level": level, "seconds": seconds }))
}

/// A body in JSON; an empty one is an object without members.
fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8]) -> std::result::Result<T, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| format!("invalid body: {error}"))
}

/// The value of a parameter: numbers, which need no escape.
fn value_of<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn failure(status: u16, text: &str) -> AdminAnswer {
    AdminAnswer {
        status,
        body: json!({ "error": text }).to_string(),
    }
}
