//! Calls whose upstream has refused its credential (401): each waits for another one, and is sent
//! again once, as the refusal proves that it was not executed.

use corelane_gateway::relay::{Failure, Reason};
use corelane_io::chunk::Chunk;

use super::Links;
use super::challenged_call::ChallengedCall;
use crate::upstream::board::ControlEvent;
use crate::upstream::endpoint::EndpointCredential;
use crate::upstream::relay::RelayKey;

/// A credential is reported as refused once in so many milliseconds, however many calls it fails.
const REPORT_INTERVAL_MS: u64 = 1000;

impl Links {
    /// Whether a call cannot be sent, as there is no credential for its upstream. It has failed
    /// then.
    pub(super) fn lacks_credential(&mut self, key: RelayKey) -> bool {
        let table = self.port.table();
        let Some(relay) = self.port.find(key) else {
            return false;
        };
        let endpoint = &table.endpoints[usize::from(relay.upstream)];
        let is_of_client = endpoint.exchanges && relay.is_for_client();
        let lacks = endpoint.lacks_credential() && (!endpoint.exchanges || relay.is_of_server());
        drop(relay);
        if is_of_client {
            return !self.has_exchanged(key);
        }
        if lacks {
            let failure = Failure::unsent(Reason::Credential);
            let detail = "this server has no access token for it yet, see corelane upstreams";
            self.fail(key, &failure.with_detail(detail));
        }
        lacks
    }

    /// Lets a call that was refused for its credential wait for another one. Returns whether it
    /// waits.
    pub(super) fn awaits_credential(&mut self, key: RelayKey) -> bool {
        let table = self.port.table();
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        let upstream = relay.upstream;
        let endpoint = &table.endpoints[usize::from(upstream)];
        let (Some(credential), true) = (&endpoint.credential, relay.is_challenged()) else {
            return false;
        };
        if endpoint.exchanges && !relay.is_of_server() {
            drop(relay);
            return self.exchanges_again(key);
        }
        let Some(request) = &relay.request else {
            return false;
        };
        if relay.was_challenged {
            return false;
        }
        let is_present =
            field_of(request, credential) == field_of(&endpoint.head_of_server(), credential);
        (relay.was_challenged, relay.link) = (true, None);
        relay.forget_answer();
        drop(relay);
        let number = credential.number;
        let links = &mut self.endpoints[usize::from(upstream)];
        let is_reported = matches!(links.challenged, Some((before, at_ms))
            if before == number && self.now_ms < at_ms + REPORT_INTERVAL_MS);
        if is_present && !is_reported {
            links.challenged = Some((number, self.now_ms));
            self.board.send(ControlEvent::Challenged {
                upstream: endpoint.upstream,
                credential: credential.number,
            });
        }
        self.challenged.push(ChallengedCall {
            key,
            failures: credential.failures,
            due_ms: self.now_ms + self.settings.list_ms,
        });
        true
    }

    /// Sends the calls again for which there is another credential, and ends those that have waited
    /// too long, or for which there will be none.
    pub(super) fn resume_challenged(&mut self) {
        for call in std::mem::take(&mut self.challenged) {
            let table = self.port.table();
            let Some(mut relay) = self.port.find(call.key) else {
                continue;
            };
            let endpoint = &table.endpoints[usize::from(relay.upstream)];
            let request = relay.request.as_ref().zip(endpoint.credential.as_ref());
            let renewed = request.and_then(|(request, credential)| {
                renewed(request, &endpoint.head_of_server(), credential)
            });
            let has_failed = |it: &EndpointCredential| it.failures != call.failures;
            let is_over = endpoint.credential.as_ref().is_none_or(has_failed)
                || endpoint.lacks_credential()
                || call.due_ms <= self.now_ms;
            match renewed {
                Some(renewed) => {
                    relay.request = Some(renewed);
                    drop(relay);
                    self.port.begin_again(call.key);
                }
                None if is_over => {
                    drop(relay);
                    self.fail(call.key, &Failure::unsent(Reason::Credential));
                }
                None => self.challenged.push(call),
            }
        }
    }
}

/// The line of a credential in a head.
fn field_of<'h>(head: &'h [u8], credential: &EndpointCredential) -> Option<&'h [u8]> {
    let start = format!("\r\n{}: ", credential.field).into_bytes();
    let end = find(head, b"\r\n\r\n").map_or(head.len(), |end| end + 2);
    let from = find(&head[..end], &start)? + 2;
    let length = find(&head[from..end], b"\r\n")?;
    Some(&head[from..from + length])
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The request with the credential of `head`; none if that is the one it has, or is missing.
fn renewed(request: &Chunk, head: &[u8], credential: &EndpointCredential) -> Option<Chunk> {
    let present = field_of(head, credential)?;
    let before = field_of(request, credential)?;
    if present == before {
        return None;
    }
    let at = before.as_ptr() as usize - request.as_ptr() as usize;
    let rest = at + before.len();
    let mut renewed = Vec::with_capacity(request.len() + present.len());
    renewed.extend_from_slice(&request[..at]);
    renewed.extend_from_slice(present);
    renewed.extend_from_slice(&request[rest..]);
    Some(Chunk::from(renewed))
}

#[cfg(test)]
mod tests {
    use corelane_io::chunk::Chunk;

    use super::{EndpointCredential, renewed};

    #[test]
    fn the_credential_alone_is_another_one_in_a_request_that_is_sent_again() {
        let credential = EndpointCredential {
            number: 2,
            failures: 0,
            field: "x-key".into(),
            is_there: true,
        };
        let head = |value: &str| format!("POST / HTTP/1.1\r\nHost: h\r\nx-key: {value}\r\n");
        let body = "\r\nx-key: in the body\r\n";
        let request = |value: &str| {
            let text = format!("{}Mcp-Name: x-key: \r\n\r\n{body}", head(value));
            Chunk::from(text.into_bytes())
        };
        let other = renewed(&request("one"), head("three").as_bytes(), &credential);
        assert_eq!(other.as_deref(), Some(&*request("three")));
        let same = renewed(&request("one"), head("one").as_bytes(), &credential);
        assert!(same.is_none());
        let none = renewed(&request("one"), b"POST / HTTP/1.1\r\n", &credential);
        assert!(none.is_none());
    }
}
