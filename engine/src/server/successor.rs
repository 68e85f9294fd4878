//! The new process's part in an upgrade.
//!
//! It starts with the sockets of the old one, whose shards accept nothing until the old process
//! lets go. A failure before that ends this process, and changes nothing for anybody.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::getppid;

use super::error::{Error, Result};
use super::handle::ServerHandle;
use super::inherited::Inherited;
use super::running::RunningServer;
use super::state_keys::OwnKey;
use super::talk::VARIABLE;
use crate::handover::channel::{Channel, Received};
use crate::handover::frame::{Frame, VERSION};
use crate::handover::rows::{ConnectionRow, EndedRow, SessionRow};
use crate::handover::steps::{NewSide, Order};
use crate::log;
use crate::mcp::session_of;
use crate::shard::ShardControl;
use crate::shard::jobs::{Answer, HandsOver, Moving, Taken, TakenStream};

/// How long this process waits for the lists of its upstreams before it is ready: less than the old
/// one waits for it.
const UPSTREAMS_TIME: Duration = Duration::from_secs(10);
/// A shard does no job for longer.
const STEP_TIME: Duration = Duration::from_secs(5);

/// The conversation with the old process.
pub(super) struct Successor {
    channel: Channel,
    side: NewSide,
    /// The texts of the addresses of the old process, by number.
    addresses: Vec<String>,
    /// The number of each here, if it is taken.
    numbers: Vec<Option<u8>>,
    key: Option<OwnKey>,
}

impl Successor {
    /// The conversation, and the state that comes before this process starts; none if no server has
    /// started this process to take over from it.
    ///
    /// # Errors
    /// The old process is gone, or goes on.
    pub(super) fn begin() -> Result<Option<(Successor, Inherited)>> {
        let parent = std::env::var(VARIABLE).ok();
        let parent = parent.and_then(|it| it.parse::<i32>().ok());
        // A program that this process starts has the variable, too.
        if parent.is_none() || getppid().map(|it| it.as_raw_pid()) != parent {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Error::HandOver(error.to_string());
        let input = std::io::stdin();
        let socket = input.as_fd().try_clone_to_owned().map_err(failed)?;
        let null = File::open("/dev/null").map_err(failed)?;
        rustix::stdio::dup2_stdin(null).map_err(|error| failed(error.into()))?;
        let mut successor = Successor {
            channel: Channel::over(socket).map_err(failed)?,
            side: NewSide::new(),
            addresses: Vec::new(),
            numbers: Vec::new(),
            key: None,
        };
        successor.send(Frame::Hello {
            oldest: VERSION,
            newest: VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        let inherited = successor.inherit()?;
        Ok(Some((successor, inherited)))
    }

    fn inherit(&mut self) -> Result<Inherited> {
        let mut inherited = Inherited::default();
        while !self.side.is_held() {
            let (order, descriptors) = self.next()?;
            match order {
                Order::Use(Frame::Begin { addresses, key, .. }) => {
                    let listeners = addresses.iter().map(|it| (it.clone(), Vec::new()));
                    inherited.listeners = listeners.collect();
                    self.addresses = addresses;
                    self.key = OwnKey::parse(&key);
                }
                Order::Use(Frame::Sockets { rows }) => {
                    for (row, socket) in rows.into_iter().zip(descriptors) {
                        inherited.add(row, socket);
                    }
                }
                Order::End(reason) => return Err(Error::HandOver(reason)),
                Order::Use(_) | Order::Serve(_) => {
                    return Err(Error::HandOver("the old process is confused".to_owned()));
                }
            }
        }
        Ok(inherited)
    }

    /// The key of the old process for states.
    pub(super) fn take_key(&mut self) -> Option<OwnKey> {
        self.key.take()
    }

    /// This process does not start.
    pub(super) fn fail(&self, error: &Error) {
        let reason = error.to_string();
        // The old process may be gone.
        let _ = self.send(Frame::Failed { reason });
    }

    /// Takes everything over that the old process lets go of, and returns when this process serves.
    /// If the old one goes on, this process ends here: it must undo nothing, as none of it is its
    /// own.
    pub(super) fn take_over(
        mut self,
        server: &RunningServer,
        handle: &ServerHandle,
        addresses: &[String],
    ) {
        server.wait_for_upstreams(UPSTREAMS_TIME);
        if let Err(error) = self.take_over_until_served(server, handle, addresses) {
            tracing::error!(%error, "this process does not take over");
            log::flush();
            std::process::exit(1);
        }
    }

    fn take_over_until_served(
        &mut self,
        server: &RunningServer,
        handle: &ServerHandle,
        addresses: &[String],
    ) -> Result<()> {
        let number = |text: &String| addresses.iter().position(|it| it == text);
        let numbers = self.addresses.iter().map(number);
        self.numbers = numbers.map(|it| it.map(|number| number as u8)).collect();
        let takes = self.numbers.iter().map(Option::is_some).collect();
        // If the old process is gone, the next frame says so.
        let _ = self.send(Frame::Ready { takes });
        let shards = server.shard_controls();
        let lists = loop {
            let (order, descriptors) = self.next()?;
            let refused = match order {
                Order::Use(Frame::Sessions { rows }) => take_sessions(shards, rows)?,
                Order::Use(Frame::Ended { rows }) => take_ended(shards, rows)?,
                Order::Use(Frame::Connections { rows }) => {
                    self.take_connections(shards, rows, descriptors)?
                }
                Order::Serve(lists) => break lists,
                Order::End(reason) => return Err(Error::HandOver(reason)),
                Order::Use(_) => continue,
            };
            let _ = self.send(Frame::Taken { refused });
        };
        // Before anything is read. An old process that is gone needs no answer, and one that has
        // waited for too long goes on: its next frame is then the end of this process.
        if self.send(Frame::Committed).is_err()
            && let Order::End(reason) = self.next()?.0
        {
            return Err(Error::HandOver(reason));
        }
        for shard in shards {
            // A shard that is stuck opens later.
            shard.request(|shard, _: Answer<()>| shard.open());
        }
        // The server runs, so that there is no error.
        let _ = handle.lists_were(&lists);
        Ok(())
    }

    /// Gives each shard its part of the connections: as many shards as before have their own ones.
    fn take_connections(
        &self,
        shards: &[Arc<ShardControl>],
        rows: Vec<ConnectionRow>,
        sockets: Vec<OwnedFd>,
    ) -> Result<Vec<usize>> {
        let mut refused = Vec::new();
        let mut parts: Vec<Vec<(usize, Moving)>> = shards.iter().map(|_| Vec::new()).collect();
        for (at, (row, socket)) in rows.into_iter().zip(sockets).enumerate() {
            let number = self.numbers.get(row.listener).copied().flatten();
            match number {
                Some(number) => {
                    let shard = usize::from(row.shard) % shards.len();
                    parts[shard].push((at, (number, row, socket)));
                }
                None => refused.push(at),
            }
        }
        let mut streams = Vec::new();
        for (shard, part) in shards
            .iter()
            .zip(parts)
            .filter(|(_, part)| !part.is_empty())
        {
            let (places, rows): (Vec<usize>, Vec<_>) = part.into_iter().unzip();
            let taken = on_shard(shard, move |shard| shard.take_over(rows))?;
            for (at, taken) in places.into_iter().zip(taken) {
                match taken {
                    Taken::Refused => refused.push(at),
                    Taken::Whole => {}
                    Taken::Stream(stream) => streams.push((at, stream)),
                }
            }
        }
        refused.extend(attach(shards, streams)?);
        refused.sort_unstable();
        Ok(refused)
    }

    fn send(&self, frame: Frame) -> Result<()> {
        let sent = self.channel.send(&frame, &[]);
        sent.map_err(|fault| Error::HandOver(fault.to_string()))
    }

    /// The next order, with its descriptors.
    fn next(&mut self) -> Result<(Order, Vec<OwnedFd>)> {
        match self.channel.receive(None) {
            Ok(Received::Frame(frame, descriptors)) => Ok((self.side.on_frame(frame), descriptors)),
            Ok(Received::Gone) => Ok((self.side.on_loss(), Vec::new())),
            Ok(Received::Silent) => Err(Error::HandOver("the old process is silent".to_owned())),
            Err(fault) => Err(Error::HandOver(fault.to_string())),
        }
    }
}

/// Copies sessions to their homes; returns the places of those that are not there then.
fn take_sessions(shards: &[Arc<ShardControl>], rows: Vec<SessionRow>) -> Result<Vec<usize>> {
    let count = shards.len();
    let (parts, mut refused) = by_home(count, rows, |row| &row.id);
    for (shard, part) in shards.iter().zip(parts) {
        let taken = on_shard(shard, move |shard| {
            let mut refused = Vec::new();
            for (at, row) in part {
                if !shard.take_session(&row) {
                    refused.push(at);
                }
            }
            refused
        });
        refused.extend(taken?);
    }
    refused.sort_unstable();
    Ok(refused)
}

fn take_ended(shards: &[Arc<ShardControl>], rows: Vec<EndedRow>) -> Result<Vec<usize>> {
    let (parts, refused) = by_home(shards.len(), rows, |row| &row.id);
    for (shard, part) in shards.iter().zip(parts) {
        on_shard(shard, move |shard| {
            part.iter().for_each(|(_, row)| shard.take_ended(row));
        })?;
    }
    Ok(refused)
}

/// Divides rows by the home shards of their sessions; the second part has the places of those
/// without one.
fn by_home<T>(
    shards: usize,
    rows: Vec<T>,
    id: impl Fn(&T) -> &str,
) -> (Vec<Vec<(usize, T)>>, Vec<usize>) {
    let mut parts: Vec<Vec<(usize, T)>> = (0..shards).map(|_| Vec::new()).collect();
    let mut homeless = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        match session_of(id(&row)) {
            Some(session) => {
                let home = session.among(shards as u16).home;
                parts[usize::from(home)].push((at, row));
            }
            None => homeless.push(at),
        }
    }
    (parts, homeless)
}

/// Lets the sessions of streams know of them. Returns the places of those without a session, whose
/// connections go back.
fn attach(shards: &[Arc<ShardControl>], streams: Vec<(usize, TakenStream)>) -> Result<Vec<usize>> {
    let mut parts: Vec<Vec<(usize, TakenStream)>> = shards.iter().map(|_| Vec::new()).collect();
    for (at, stream) in streams {
        parts[usize::from(stream.session.home)].push((at, stream));
    }
    let mut refused = Vec::new();
    for (home, mut part) in shards
        .iter()
        .zip(parts)
        .filter(|(_, part)| !part.is_empty())
    {
        let homeless = on_shard(home, move |shard| {
            part.retain(|(_, stream)| !shard.attach(stream));
            part
        })?;
        for (at, stream) in homeless {
            let slot = stream.exchange.slot;
            let shard = &shards[usize::from(stream.exchange.shard)];
            on_shard(shard, move |shard| shard.give_back(slot))?;
            refused.push(at);
        }
    }
    Ok(refused)
}

/// Lets a shard do a job, and returns its result.
fn on_shard<T: Send + 'static>(
    control: &Arc<ShardControl>,
    job: impl FnOnce(&mut dyn HandsOver) -> T + Send + 'static,
) -> Result<T> {
    let answered = control.request(|shard, answer| {
        // Its receiver may have given up.
        let _ = answer.try_send(job(shard));
    });
    let answer = answered.recv_timeout(STEP_TIME);
    answer.map_err(|_| Error::HandOver("a shard does not answer".to_owned()))
}
