//! Tokens of which this shard waits for the introspection.
//!
//! A client that sends one unknown opaque token after another must not take every place: each
//! source has a share of them.

use std::sync::Arc;

use crossbeam::queue::SegQueue;

use super::board::AccessBoard;
use crate::guard::access::{IssuerRequest, RequestState};
use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use crate::guard::token::fault::TokenFault;
use crate::guard::token::verify::Verified;
use crate::handler::wakers::WakeShard;

/// The result of an introspection.
type Introspected = Result<Verified, TokenFault>;

/// The introspections that a shard waits for, and the results that have come.
pub(super) struct Introspecting {
    shares: Shares,
    /// At most as many as `shares` has places.
    ended: Arc<SegQueue<Ended>>,
    wake: WakeShard,
}

struct Ended {
    source: HolderKey,
    token: Box<[u8]>,
    result: Introspected,
}

/// The place of an introspection under way. It comes back however that ends.
struct Place {
    ended: Option<Ended>,
    queue: Arc<SegQueue<Ended>>,
    wake: WakeShard,
}

impl Place {
    fn end(mut self, result: Introspected) {
        if let Some(ended) = &mut self.ended {
            ended.result = result;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.queue.push(ended);
            (self.wake)();
        }
    }
}

impl Introspecting {
    /// Waits for at most `max` results.
    pub(super) fn new(max: usize, wake: WakeShard) -> Introspecting {
        Introspecting {
            shares: Shares::new(max),
            ended: Arc::default(),
            wake,
        }
    }

    /// Requests the introspection of a token from its issuer, which has this alias. Returns whether
    /// its result comes: it does not if the source has its share of places, or the issuer is busy.
    pub(super) fn begin(
        &mut self,
        board: &AccessBoard,
        issuer: Box<str>,
        token: Box<[u8]>,
        source: HolderKey,
    ) -> bool {
        if self.shares.check(source, 1).is_err() {
            return false;
        }
        self.shares.take(source, 1);
        let place = Place {
            ended: Some(Ended {
                source,
                token: token.clone(),
                result: Err(TokenFault::KeysUnavailable),
            }),
            queue: Arc::clone(&self.ended),
            wake: Arc::clone(&self.wake),
        };
        let request = IssuerRequest::Introspect {
            issuer,
            token,
            reply: Box::new(move |result| place.end(result)),
        };
        board.request(request) == RequestState::Pending
    }

    /// The next result that has come, with its token.
    pub(super) fn poll(&mut self) -> Option<(Box<[u8]>, Introspected)> {
        let Ended {
            source,
            token,
            result,
        } = self.ended.pop()?;
        self.shares.give_back(source, 1);
        Some((token, result))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::Mutex;

    use super::*;
    use crate::guard::access::Issuers;
    use crate::guard::holder::Holders;

    /// Keeps the requests, or drops them.
    #[derive(Default)]
    struct Kept(Mutex<Vec<IssuerRequest>>);

    impl fmt::Debug for Kept {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("Kept")
        }
    }

    impl Issuers for Kept {
        fn request(&self, request: IssuerRequest) -> RequestState {
            let mut kept = self.0.lock().expect("no panic");
            let is_busy = kept.len() == PLACES;
            if !is_busy {
                kept.push(request);
            }
            match is_busy {
                true => RequestState::Busy,
                false => RequestState::Pending,
            }
        }
    }

    const PLACES: usize = 64;

    #[test]
    fn a_source_has_a_share_and_every_place_comes_back() {
        let issuers = Arc::new(Kept::default());
        let board = AccessBoard::default();
        board.set_issuers(issuers.clone());
        let mut waiting = Introspecting::new(PLACES, Arc::new(|| {}));
        let [flood, other] = ["a", "b"].map(|name| Holders::default().of_principal(name));
        let begin = |waiting: &mut Introspecting, number: usize, source| {
            let token = number.to_string().into_bytes().into();
            waiting.begin(&board, "corp".into(), token, source)
        };
        let begun = (0..PLACES)
            .filter(|it| begin(&mut waiting, *it, flood))
            .count();
        assert!(
            begun > PLACES / 2,
            "one source alone may have most places: {begun}"
        );
        assert!(begun < PLACES, "and not all of them");
        assert!(
            begin(&mut waiting, PLACES, other),
            "another source has a place"
        );
        assert!(waiting.poll().is_none());

        // A result, and requests that are dropped without one.
        let mut kept = std::mem::take(&mut *issuers.0.lock().expect("no panic"));
        let Some(IssuerRequest::Introspect { reply, .. }) = kept.pop() else {
            panic!("it was an introspection");
        };
        reply(Err(TokenFault::Inactive));
        drop(kept);
        let ended: Vec<_> = std::iter::from_fn(|| waiting.poll()).collect();
        assert_eq!(ended.len(), begun + 1);
        let inactive = |result: &Introspected| matches!(result, Err(TokenFault::Inactive));
        let first = ended.first().expect("it came first");
        assert!(inactive(&first.1) && *first.0 == *PLACES.to_string().as_bytes());
        assert_eq!(
            ended.iter().filter(|(_, result)| inactive(result)).count(),
            1
        );
        let again = (0..PLACES)
            .filter(|it| begin(&mut waiting, *it, flood))
            .count();
        assert_eq!(again, begun);
    }
}
