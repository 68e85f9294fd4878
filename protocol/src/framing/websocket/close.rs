//! The end of a WebSocket connection: RFC 6455 section 7.4.

use super::fault::Fault;

/// The payload of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'a> {
    /// The number of the reason, one that may be on the wire; the peer need not give one.
    pub code: Option<u16>,
    /// The reason for people; empty if there is none.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Result<Close<'a>, Fault> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return match payload {
                [] => Ok(Close {
                    code: None,
                    reason: "",
                }),
                _ => Err(Fault::CloseMalformed),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !is_on_wire(code) {
            return Err(Fault::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
        Ok(Close {
            code: Some(code),
            reason,
        })
    }
}

/// Whether a close frame may carry the number: those of the protocol, of the IANA registry, of
/// libraries and of applications. 1004 to 1006 and 1015 are never sent.
fn is_on_wire(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
