//! The session of a legacy client: `initialize`, its notification, the loss of the session and its
//! end (MCP 2025-11-25 basic/lifecycle and basic/transports, "Session Management").
//!
//! The caller's contract: send the request of [`LegacySession::poll_request`] and give its outcome
//! back; other requests go out while [`LegacySession::may_send`] allows them. A session that the
//! server no longer knows is opened again once; the caller restores its subscriptions and its log
//! level, and repeats the request, which was not executed.
//!
//! It lacks a clock and the transport. Lines have no id of a session and never lose it.

use super::revision::Revision;

/// The most bytes of the id of a session.
pub const SESSION_ID_BYTES_MAX: usize = 1024;

/// The request to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRequest {
    /// `initialize` with this revision, without an id of a session.
    Initialize(Revision),
    /// `notifications/initialized`.
    Initialized,
    /// DELETE; an answer of 405 is no error.
    Delete,
}

/// Why a session cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionFault {
    /// The server chose a revision that is not legacy, or unknown.
    #[error("the server chose a revision of the protocol that this client does not speak")]
    Revision,
    /// The id has bytes other than visible ASCII, or too many.
    #[error("the server's session id is not 1 to {SESSION_ID_BYTES_MAX} bytes of visible ASCII")]
    Id,
    /// The server forgot the session at once after it opened it.
    #[error("the server does not know the session that it opened")]
    LostAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `initialize` is due or under way.
    Opening,
    /// The notification is due or under way.
    Notifying,
    Open,
    Closing,
    Closed,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct LegacySession {
    stage: Stage,
    revision: Revision,
    id: Option<Box<str>>,
    /// Whether a request was answered since the session was opened.
    was_used: bool,
    /// Whether this session replaces one that was lost.
    is_renewed: bool,
}

impl LegacySession {
    /// A session that is not open.
    ///
    /// ```
    /// use corelane_protocol::mcp::legacy_session::{LegacySession, SessionRequest};
    /// let mut session = LegacySession::new();
    /// assert!(!session.may_send("tools/list"));
    /// session.handle_initialize_result("2025-11-25", Some("abc"))?;
    /// assert_eq!(session.poll_request(), Some(SessionRequest::Initialized));
    /// session.handle_accepted();
    /// assert!(session.may_send("tools/list"));
    /// # Ok::<(), corelane_protocol::mcp::legacy_session::SessionFault>(())
    /// ```
    #[expect(
        clippy::new_without_default,
        reason = "it opens: that is no default of anything"
    )]
    pub fn new() -> LegacySession {
        LegacySession {
            stage: Stage::Opening,
            revision: Revision::LEGACY[0],
            id: None,
            was_used: false,
            is_renewed: false,
        }
    }

    /// The request to send, until its outcome is handled.
    pub fn poll_request(&self) -> Option<SessionRequest> {
        match self.stage {
            Stage::Opening => Some(SessionRequest::Initialize(self.revision)),
            Stage::Notifying => Some(SessionRequest::Initialized),
            Stage::Closing => Some(SessionRequest::Delete),
            Stage::Open | Stage::Closed => None,
        }
    }

    /// Handles the result of `initialize`: `protocolVersion`, and the id of the session if the
    /// answer has one.
    ///
    /// # Errors
    /// [`SessionFault`] if either is not usable; the connection is to be closed.
    pub fn handle_initialize_result(
        &mut self,
        version: &str,
        id: Option<&str>,
    ) -> Result<(), SessionFault> {
        let revision = Revision::legacy(version).ok_or(SessionFault::Revision)?;
        let is_usable = |id: &str| {
            (1..=SESSION_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !id.is_none_or(is_usable) {
            return Err(SessionFault::Id);
        }
        if self.stage == Stage::Opening {
            self.stage = Stage::Notifying;
            self.revision = revision;
            self.id = id.map(Box::from);
            self.was_used = false;
        }
        Ok(())
    }

    /// Handles the acceptance of the notification, or of DELETE.
    pub fn handle_accepted(&mut self) {
        self.stage = match self.stage {
            Stage::Notifying => Stage::Open,
            Stage::Closing => Stage::Closed,
            stage => stage,
        };
    }

    /// Handles an answer to a request of the session: it is known.
    pub fn handle_answer(&mut self) {
        self.was_used = true;
    }

    /// Handles 404 for the session `id`: it is opened again. The loss of an earlier session, which
    /// another request noticed before, changes nothing.
    ///
    /// # Errors
    /// [`SessionFault::LostAgain`] if no request was answered since it was last opened again.
    pub fn handle_lost(&mut self, id: &str) -> Result<(), SessionFault> {
        if self.id.as_deref() != Some(id) || matches!(self.stage, Stage::Closing | Stage::Closed) {
            return Ok(());
        }
        if self.is_renewed && !self.was_used {
            return Err(SessionFault::LostAgain);
        }
        self.stage = Stage::Opening;
        self.id = None;
        self.is_renewed = true;
        Ok(())
    }

    /// Ends the session: DELETE is due if the server gave it an id.
    pub fn close(&mut self) {
        let is_known = self.id.is_some() && self.stage != Stage::Closed;
        self.stage = if is_known {
            Stage::Closing
        } else {
            Stage::Closed
        };
    }

    /// Whether a request or notification may be sent now. Before the answer to `initialize` it is
    /// `ping` alone.
    pub fn may_send(&self, method: &str) -> bool {
        match self.stage {
            Stage::Open => true,
            Stage::Opening | Stage::Notifying => matches!(method, "ping" | "initialize"),
            Stage::Closing | Stage::Closed => false,
        }
    }

    /// The id of the session, for `Mcp-Session-Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The revision of the session; before the handshake the one that is requested.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::{LegacySession, SESSION_ID_BYTES_MAX, SessionFault, SessionRequest};
    use crate::mcp::revision::Revision;

    fn opened(id: Option<&str>) -> LegacySession {
        let mut session = LegacySession::new();
        let request = SessionRequest::Initialize(Revision::V2025_11_25);
        assert_eq!(session.poll_request(), Some(request));
        session.handle_initialize_result("2025-06-18", id).unwrap();
        assert_eq!(session.poll_request(), Some(SessionRequest::Initialized));
        session.handle_accepted();
        assert_eq!(session.poll_request(), None);
        session
    }

    #[test]
    fn requests_wait_for_the_handshake() {
        let mut session = LegacySession::new();
        for (method, allowed) in [("ping", true), ("initialize", true), ("tools/list", false)] {
            assert_eq!(session.may_send(method), allowed, "{method}");
        }
        session
            .handle_initialize_result("2025-11-25", None)
            .unwrap();
        assert!(!session.may_send("tools/list"));
        session.handle_accepted();
        assert!(session.may_send("tools/list"));
        assert_eq!(opened(None).revision(), Revision::V2025_06_18);
    }

    #[test]
    fn a_lost_session_is_opened_again_once_in_a_row() {
        let mut session = opened(Some("a"));
        session.handle_lost("a").unwrap();
        assert_eq!(
            (session.id(), session.may_send("tools/list")),
            (None, false)
        );
        session
            .handle_initialize_result("2025-11-25", Some("b"))
            .unwrap();
        session.handle_accepted();
        // A late 404 of the old session.
        session.handle_lost("a").unwrap();
        assert_eq!(session.id(), Some("b"));
        session.handle_answer();
        session.handle_lost("b").unwrap();
        session
            .handle_initialize_result("2025-11-25", Some("c"))
            .unwrap();
        session.handle_accepted();
        assert_eq!(session.handle_lost("c"), Err(SessionFault::LostAgain));
    }

    #[test]
    fn a_session_without_an_id_ends_without_a_request() {
        let mut session = opened(None);
        session.close();
        assert_eq!(session.poll_request(), None);
        let mut session = opened(Some("a"));
        session.close();
        assert_eq!(session.poll_request(), Some(SessionRequest::Delete));
        assert!(!session.may_send("ping"));
        session.handle_accepted();
        session.close();
        assert_eq!(session.poll_request(), None);
        session.handle_lost("a").unwrap();
        assert_eq!(session.poll_request(), None);
    }

    #[test]
    fn a_handshake_with_a_foreign_revision_or_an_unusable_id_fails() {
        let long = "x".repeat(SESSION_ID_BYTES_MAX + 1);
        for (version, id, fault) in [
            ("2026-07-28", None, SessionFault::Revision),
            ("1900-01-01", Some("a"), SessionFault::Revision),
            ("2025-11-25", Some(""), SessionFault::Id),
            ("2025-11-25", Some("a b"), SessionFault::Id),
            ("2025-11-25", Some("\u{e9}"), SessionFault::Id),
            ("2025-11-25", Some("a\r\nB: c"), SessionFault::Id),
            ("2025-11-25", Some(&long), SessionFault::Id),
        ] {
            let mut session = LegacySession::new();
            let found = session.handle_initialize_result(version, id);
            assert_eq!(found, Err(fault), "{version} {id:?}");
            assert_eq!(session.id(), None);
        }
    }
}
