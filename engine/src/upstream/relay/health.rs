//! What the answer of a call shows about its upstream.

use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_protocol::binding::http_client::Outcome as HeadOutcome;

use super::{Reception, Recipient, Relay};
use crate::upstream::owner::SessionOwner;

impl Relay {
    /// Whether its end shows if the upstream works: it is a call of a client, or a request of the
    /// control side that is answered soon.
    pub(crate) fn counts_for_health(&self) -> bool {
        self.is_of_client() || self.is_of_control()
    }

    /// Whether a client waits for its answer.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(self.reception.recipient, Recipient::Call(..))
    }

    /// Whether a client waits for its answer.
    pub(crate) fn is_for_client(&self) -> bool {
        matches!(
            self.reception.recipient,
            Recipient::Call(..) | Recipient::Parked(_)
        )
    }

    /// Whether it is for the control side: a request of it, or a subscription.
    pub(crate) fn is_for_control(&self) -> bool {
        self.is_of_control() || self.is_subscription()
    }

    /// Whether it is of this server itself, and not for a client or in a session of one.
    pub(crate) fn is_of_server(&self) -> bool {
        self.owner() == Some(SessionOwner::Control)
    }

    /// Whether the control side waits for its answer.
    pub(crate) fn is_of_control(&self) -> bool {
        matches!(self.reception.recipient, Recipient::Control(..))
    }

    /// Whether its credential was refused, and nothing else is known of it.
    pub(crate) fn is_challenged(&self) -> bool {
        self.reception.status == 401 && !self.is_answered()
    }

    /// Whether its answer, which is over, shows that the upstream works; none if it shows neither.
    pub(crate) fn shows_health(&self) -> Option<bool> {
        match self.reception.outcome {
            _ if self.is_answered() => Some(true),
            HeadOutcome::Unavailable => {
                let is_overload = matches!(self.reception.status, 408 | 429);
                (!is_overload).then_some(false)
            }
            HeadOutcome::Message | HeadOutcome::Events | HeadOutcome::Unreadable => Some(false),
            // It decides about requests, so it works.
            HeadOutcome::Accepted
            | HeadOutcome::Challenged
            | HeadOutcome::SessionLost
            | HeadOutcome::Refused { .. }
            | HeadOutcome::Redirected => Some(true),
        }
    }

    /// The seconds after which the upstream, which cannot serve it now, takes it again (429, 503).
    pub(crate) fn retry_after_s(&self) -> Option<u16> {
        let is_refused = matches!(self.reception.status, 429 | 503) && !self.is_answered();
        self.reception.retry_after_s.filter(|_| is_refused)
    }
}

impl Reception {
    /// The failure of an answer that is over and had no usable message.
    pub(super) fn failure(&self) -> Failure {
        let status = self.status;
        let of_status = |reason, executed| {
            Failure::new(reason, executed).with_detail(format!("status {status}"))
        };
        match self.outcome {
            HeadOutcome::Challenged => of_status(Reason::Credential, Executed::No),
            HeadOutcome::Unavailable => {
                let executed = match status {
                    429 | 503 => Executed::No,
                    _ => Executed::Unknown,
                };
                of_status(Reason::Unavailable, executed)
            }
            HeadOutcome::Refused { .. } | HeadOutcome::Redirected => {
                of_status(Reason::Protocol, Executed::No)
            }
            HeadOutcome::SessionLost | HeadOutcome::Accepted | HeadOutcome::Unreadable => {
                of_status(Reason::Protocol, Executed::Unknown)
            }
            HeadOutcome::Message | HeadOutcome::Events => {
                let fault = self.fault.as_deref();
                Failure::new(Reason::Protocol, Executed::Unknown)
                    .with_detail(fault.unwrap_or("no message answers the request"))
            }
        }
    }
}
