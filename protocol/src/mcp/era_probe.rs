//! Finds the era of a server (MCP 2026-07-28 basic/versioning, "Backward Compatibility").
//!
//! A client sends `server/discover` first. A result, or an error that only the modern era has,
//! means the modern era; other answers mean `initialize`. Missing credentials, overload and broken
//! networks mean neither: they are errors, and the next probe starts anew. A server of lines that
//! was silent and then refuses `initialize` started slowly, and gets `server/discover` once more.
//! The caller's contract: send the request of [`EraProbe::poll_request`], give its outcome to
//! [`EraProbe::handle_outcome`], until [`EraProbe::agreed`] has a revision.
//!
//! It lacks a clock, the transport, and the fallback to HTTP+SSE of 2024-11-05.

use super::era::Era;
use super::error_code;
use super::revision::Revision;

/// The most requests `server/discover` of one probe: one, and one with a revision that the server
/// named.
const DISCOVERIES_MAX: u8 = 2;

/// Which eras a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraChoice {
    /// The modern one if the server has it.
    #[default]
    Auto,
    /// The legacy one; nothing is probed.
    Legacy,
    /// The modern one or none.
    Modern,
}

/// The kind of connection, which decides the meaning of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP: each request has an answer, so silence is an error.
    Http,
    /// Lines on a stream: a legacy server may ignore a request, or exit.
    Lines,
}

/// The request to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeRequest {
    /// `server/discover` in this revision.
    Discover(Revision),
    /// `initialize` with this revision. On lines the process may have to be started anew.
    Initialize(Revision),
}

/// The outcome of the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome<'a> {
    /// A result of `server/discover` with these `supportedVersions`.
    Discovered(&'a [String]),
    /// A result of `initialize` with this `protocolVersion`.
    Initialized(&'a str),
    /// A JSON-RPC error, on any status.
    Error {
        /// Its code.
        code: i64,
        /// `data.supported`, if it is there.
        supported: &'a [String],
    },
    /// An HTTP status without a JSON-RPC error.
    Status(u16),
    /// A body that is no message.
    Unreadable,
    /// No answer in time.
    Silence,
    /// The connection ended.
    Closed,
}

/// Why a probe found no era; the next one starts anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The server wants credentials (401) or refuses them (403).
    #[error("the server answers status {0}: it wants other credentials")]
    Credentials(u16),
    /// The server cannot answer now.
    #[error("the server is not available: {0}")]
    Unavailable(Unavailable),
    /// Both sides speak MCP, but no revision in common.
    #[error("no revision in common: the server offers {offered}; set another era if it has one")]
    NoCommonRevision {
        /// The revisions of the server.
        offered: String,
    },
    /// The server refuses the handshake.
    #[error("the server refuses the handshake: {0}; check that the address is one of MCP")]
    Refused(Refused),
}

/// How a server is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// 408, 429 or 5xx.
    #[error("status {0}")]
    Status(u16),
    /// No answer in time.
    #[error("no answer in time")]
    Silence,
    /// The connection ended.
    #[error("the connection ended")]
    Closed,
}

/// How a server refuses the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A JSON-RPC error.
    #[error("error {0}")]
    Code(i64),
    /// An HTTP status.
    #[error("status {0}")]
    Status(u16),
    /// An answer that is no message, or no answer to the request.
    #[error("the answer is no message of MCP")]
    Unreadable,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct EraProbe {
    wire: Wire,
    choice: EraChoice,
    discoveries: u8,
    /// Whether `server/discover` had no answer in its time.
    was_silent: bool,
    next: Option<ProbeRequest>,
    agreed: Option<Revision>,
}

impl EraProbe {
    /// A probe that has sent nothing.
    ///
    /// ```
    /// use corelane_protocol::mcp::era_probe::{EraChoice, EraProbe, ProbeOutcome, Wire};
    /// use corelane_protocol::mcp::revision::Revision;
    /// let mut probe = EraProbe::new(Wire::Http, EraChoice::Auto);
    /// probe.handle_outcome(ProbeOutcome::Status(404))?;
    /// probe.handle_outcome(ProbeOutcome::Initialized("2025-11-25"))?;
    /// assert_eq!(probe.agreed(), Some(Revision::V2025_11_25));
    /// # Ok::<(), corelane_protocol::mcp::era_probe::ProbeError>(())
    /// ```
    pub fn new(wire: Wire, choice: EraChoice) -> EraProbe {
        let next = match choice {
            EraChoice::Legacy => ProbeRequest::Initialize(Revision::LEGACY[0]),
            EraChoice::Auto | EraChoice::Modern => ProbeRequest::Discover(Revision::MODERN[0]),
        };
        EraProbe {
            wire,
            choice,
            discoveries: 0,
            was_silent: false,
            next: Some(next),
            agreed: None,
        }
    }

    /// The request to send, until its outcome is handled; none when the probe is over.
    pub fn poll_request(&self) -> Option<ProbeRequest> {
        self.next
    }

    /// The revision that both sides speak.
    pub fn agreed(&self) -> Option<Revision> {
        self.agreed
    }

    /// Handles the outcome of the request.
    ///
    /// # Errors
    /// [`ProbeError`]: the probe is over, without a revision.
    pub fn handle_outcome(&mut self, outcome: ProbeOutcome<'_>) -> Result<(), ProbeError> {
        let Some(request) = self.next.take() else {
            return Ok(());
        };
        check_availability(self.wire, request, outcome)?;
        match request {
            ProbeRequest::Discover(revision) => self.on_discover(revision, outcome),
            ProbeRequest::Initialize(_) => self.on_initialize(outcome),
        }
    }

    fn on_discover(
        &mut self,
        revision: Revision,
        outcome: ProbeOutcome<'_>,
    ) -> Result<(), ProbeError> {
        self.discoveries += 1;
        self.was_silent = matches!(outcome, ProbeOutcome::Silence);
        match outcome {
            ProbeOutcome::Discovered(offered) => match newest_modern(offered) {
                Some(common) => self.agree(common),
                None => self.fall_back(offered),
            },
            ProbeOutcome::Error {
                code: error_code::UNSUPPORTED_PROTOCOL_VERSION,
                supported,
            } => match newest_modern(supported) {
                Some(common) if self.discoveries < DISCOVERIES_MAX => {
                    self.next = Some(ProbeRequest::Discover(common));
                    Ok(())
                }
                Some(_) => Err(ProbeError::Refused(Refused::Code(
                    error_code::UNSUPPORTED_PROTOCOL_VERSION,
                ))),
                None => self.fall_back(supported),
            },
            // Only the modern era has these errors; they refuse the request, not the revision.
            ProbeOutcome::Error {
                code: error_code::HEADER_MISMATCH | error_code::MISSING_CLIENT_CAPABILITY,
                ..
            } => self.agree(revision),
            _ if self.choice == EraChoice::Modern => Err(ProbeError::Refused(refused(outcome))),
            _ => self.initialize(),
        }
    }

    fn on_initialize(&mut self, outcome: ProbeOutcome<'_>) -> Result<(), ProbeError> {
        // A modern server that starts slowly answers now, and refuses `initialize`.
        let is_refusal = matches!(outcome, ProbeOutcome::Error { .. });
        if is_refusal && self.was_silent && self.discoveries < DISCOVERIES_MAX {
            self.next = Some(ProbeRequest::Discover(Revision::MODERN[0]));
            return Ok(());
        }
        let ProbeOutcome::Initialized(version) = outcome else {
            return Err(ProbeError::Refused(refused(outcome)));
        };
        match Revision::legacy(version) {
            Some(revision) => self.agree(revision),
            None => Err(no_common_revision(&[version.to_owned()])),
        }
    }

    /// Continues with the legacy era if the server's list has a revision of it, or no list at all.
    fn fall_back(&mut self, offered: &[String]) -> Result<(), ProbeError> {
        let is_legacy = offered.iter().any(|name| Revision::legacy(name).is_some());
        match self.choice {
            EraChoice::Auto if is_legacy || offered.is_empty() => self.initialize(),
            _ => Err(no_common_revision(offered)),
        }
    }

    fn initialize(&mut self) -> Result<(), ProbeError> {
        self.next = Some(ProbeRequest::Initialize(Revision::LEGACY[0]));
        Ok(())
    }

    fn agree(&mut self, revision: Revision) -> Result<(), ProbeError> {
        debug_assert!(
            self.choice != EraChoice::Modern || revision.era() == Era::Modern,
            "a client of the modern era alone agreed on a legacy revision"
        );
        self.agreed = Some(revision);
        Ok(())
    }
}

/// Refuses the outcomes that say nothing about the era.
fn check_availability(
    wire: Wire,
    request: ProbeRequest,
    outcome: ProbeOutcome<'_>,
) -> Result<(), ProbeError> {
    let is_discover = matches!(request, ProbeRequest::Discover(_));
    let unavailable = match outcome {
        ProbeOutcome::Status(status @ (401 | 403)) => return Err(ProbeError::Credentials(status)),
        ProbeOutcome::Status(status @ (408 | 429 | 500..)) => Unavailable::Status(status),
        // A legacy server of lines may be silent, or exit, on a request it does not know.
        ProbeOutcome::Silence | ProbeOutcome::Closed if wire == Wire::Lines && is_discover => {
            return Ok(());
        }
        ProbeOutcome::Silence => Unavailable::Silence,
        ProbeOutcome::Closed => Unavailable::Closed,
        _ => return Ok(()),
    };
    Err(ProbeError::Unavailable(unavailable))
}

fn refused(outcome: ProbeOutcome<'_>) -> Refused {
    match outcome {
        ProbeOutcome::Error { code, .. } => Refused::Code(code),
        ProbeOutcome::Status(status) => Refused::Status(status),
        _ => Refused::Unreadable,
    }
}

fn newest_modern(offered: &[String]) -> Option<Revision> {
    let mut served = Revision::MODERN.iter().copied();
    served.find(|revision| offered.iter().any(|name| name == revision.as_str()))
}

/// The most bytes of a list of revisions in the text of an error.
const OFFERED_BYTES_MAX: usize = 200;

fn no_common_revision(offered: &[String]) -> ProbeError {
    let offered: String = offered.join(", ").chars().take(OFFERED_BYTES_MAX).collect();
    ProbeError::NoCommonRevision { offered }
}

#[cfg(test)]
mod tests;
