//! In place of tokens, in a library without the feature `auth`: access control is never configured.

use std::sync::Arc;

use corelane_protocol::framing::http1::RequestHead;

use super::identified::{Client, Identified, Note};
use crate::guard::identity::Identity;
use crate::guard::limit::failures::Attempt;
use crate::guard::limit::file::Limits;
use crate::guard::peer::KnownPeer;
use crate::guard::policy::Policy;
use crate::guard::refusal::{Answer, Refusal};
use crate::handler::wakers::WakeShard;
use crate::profile::{Auth, ClientLimits};

/// There is none.
#[derive(Debug)]
pub(crate) enum Tokens {}

/// There is none.
#[derive(Debug)]
pub(crate) enum AccessBoard {}

/// The limits of the profile, which are of no use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenLimits {
    pub(crate) key_wait_ms: u64,
    pub(crate) key_waits_max: usize,
}

impl TokenLimits {
    pub(crate) fn of(_: &Auth, _: &ClientLimits) -> TokenLimits {
        TokenLimits::default()
    }
}

impl Tokens {
    pub(crate) fn new(board: Arc<AccessBoard>, _: TokenLimits, _: WakeShard) -> Tokens {
        match *board {}
    }

    pub(super) fn is_past(&self, _: u64) -> bool {
        match *self {}
    }

    pub(super) fn limits(&self) -> &TokenLimits {
        match *self {}
    }

    pub(crate) fn begin_turn(&mut self, _: u64, _: u64) -> bool {
        match *self {}
    }

    pub(crate) fn needs_addresses(&self) -> bool {
        match *self {}
    }

    pub(super) fn identify(
        &mut self,
        _: &RequestHead<'_>,
        _: Client<'_>,
        _: bool,
    ) -> Option<(Identified, Option<Note>)> {
        match *self {}
    }

    pub(super) fn may_name_principal(&self, _: Option<&KnownPeer>) -> bool {
        match *self {}
    }

    pub(super) fn is_current(&self, _: &Identity) -> bool {
        match *self {}
    }

    pub(super) fn refreshed(&self, _: Arc<Identity>) -> Arc<Identity> {
        match *self {}
    }

    pub(super) fn requires_credential(&self) -> bool {
        match *self {}
    }

    pub(super) fn end_of(&self, _: &Arc<Identity>, _: Option<&str>) -> Option<&'static str> {
        match *self {}
    }

    pub(super) fn refusal_at(&self, _: &str, _: Option<&Identity>) -> Option<Refusal> {
        match *self {}
    }

    pub(super) fn answer(&self, _: &Refusal, _: &str) -> Answer {
        match *self {}
    }

    pub(super) fn scope_challenge(&self, _: u16, _: u64) -> Option<String> {
        match *self {}
    }

    pub(super) fn metadata_at(&self, _: &str) -> Option<usize> {
        match *self {}
    }

    pub(super) fn metadata(&self, _: usize) -> Vec<u8> {
        match *self {}
    }

    pub(super) fn client_limits(&self) -> &Arc<Limits> {
        match *self {}
    }

    pub(super) fn record_failure(&mut self, _: Attempt) {
        match *self {}
    }

    pub(super) fn poll_failure(&mut self) -> Option<Attempt> {
        match *self {}
    }

    pub(super) fn configuration(&self) -> u64 {
        match *self {}
    }

    pub(super) fn policy(&self) -> &Arc<Policy> {
        match *self {}
    }

    pub(super) fn has_checks_left(&self) -> bool {
        match *self {}
    }
}
