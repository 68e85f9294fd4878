//! Opaque tokens of which the answer of the issuer is known or on its way (RFC 7662).
//!
//! Requests for one token share one flight, and its result is kept for all shards: a valid token
//! for 60 s at most, one that is not for 10 s, a failure not at all. Tokens are keyed by their
//! hash. The table is bounded: without space for a flight a request is refused, and a result that
//! has no space is not kept.

use std::collections::HashMap;

use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::Verified;
use sha2::{Digest as _, Sha256};

/// Most flights at a time.
pub const FLIGHTS_MAX: usize = 256;
/// Most requests that wait for one flight.
const WAITERS_MAX: usize = 256;
/// Most results that are kept.
const RESULTS_MAX: usize = 4096;
/// How long a result is kept that refuses a token, in seconds.
const REFUSED_TTL_S: u64 = 10;

/// The result of an introspection.
pub type Introspected = Result<Verified, TokenFault>;
/// Takes a result.
pub type Reply = Box<dyn FnOnce(Introspected) + Send>;

/// The hash of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token of the issuer with this alias.
    pub fn new(alias: &str, token: &[u8]) -> TokenHash {
        let alias = Sha256::new().chain_update(alias).chain_update([0]);
        TokenHash(alias.chain_update(token).finalize().into())
    }
}

/// The flights and results of all issuers.
#[derive(Default)]
pub struct Introspections {
    flights: HashMap<TokenHash, Vec<Reply>>,
    /// Each with the first second in which it is too old, since 1970.
    results: HashMap<TokenHash, (Introspected, u64)>,
}

impl Introspections {
    /// Takes a request. Returns whether a flight must begin, whose end is to be reported. The reply
    /// is called at once if the result is known or there is no space.
    pub fn begin(&mut self, token: TokenHash, reply: Reply, now_s: u64) -> bool {
        if let Some((result, until_s)) = self.results.get(&token) {
            if now_s < *until_s {
                reply(result.clone());
                return false;
            }
            self.results.remove(&token);
        }
        let count = self.flights.len();
        match self.flights.get_mut(&token) {
            Some(waiters) if waiters.len() < WAITERS_MAX => waiters.push(reply),
            None if count < FLIGHTS_MAX => {
                self.flights.insert(token, vec![reply]);
                return true;
            }
            _ => reply(Err(TokenFault::KeysUnavailable)),
        }
        false
    }

    /// Ends a flight: all that wait for it get its result.
    pub fn end(&mut self, token: TokenHash, result: Introspected, now_s: u64) {
        let until_s = match &result {
            Ok(verified) => verified.until_s(),
            Err(TokenFault::KeysUnavailable) => now_s,
            Err(_) => now_s.saturating_add(REFUSED_TTL_S),
        };
        for reply in self.flights.remove(&token).unwrap_or_default() {
            reply(result.clone());
        }
        if self.results.len() >= RESULTS_MAX {
            self.results.retain(|_, (_, until_s)| now_s < *until_s);
        }
        if now_s < until_s && self.results.len() < RESULTS_MAX {
            self.results.insert(token, (result, until_s));
        }
    }

    /// Forgets all results: the rules by which they were made are others now.
    pub fn forget(&mut self) {
        self.results.clear();
    }
}

impl std::fmt::Debug for Introspections {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (flights, results) = (self.flights.len(), self.results.len());
        write!(out, "{flights} flights, {results} results")
    }
}

#[cfg(test)]
mod tests {
    use super::{FLIGHTS_MAX, Introspected, Introspections, RESULTS_MAX, Reply, TokenHash};
    use corelane_guard::token::fault::TokenFault;
    use corelane_guard::token::verify::{Issuer, TokenKind, Verifier};
    use std::sync::{Arc, mpsc};

    fn token(number: usize) -> TokenHash {
        TokenHash::new("a", number.to_string().as_bytes())
    }

    fn verified(now_s: u64) -> Introspected {
        let kind = TokenKind::Opaque {
            audience_required: false,
        };
        let issuer = Issuer {
            kind,
            ..Issuer::new("a", "https://a")
        };
        let verifier = Verifier::new(Arc::default()).with_issuer(Arc::new(issuer), None);
        verifier.verify_introspection("a", br#"{"active":true,"sub":"s"}"#, now_s)
    }

    /// The number of results that came to the replies so far.
    struct Replies(mpsc::Sender<Introspected>, mpsc::Receiver<Introspected>);

    impl Replies {
        fn new() -> Replies {
            let (sender, receiver) = mpsc::channel();
            Replies(sender, receiver)
        }

        fn one(&self) -> Reply {
            let sender = self.0.clone();
            Box::new(move |result| sender.send(result).expect("it is received"))
        }

        fn taken(&self) -> Vec<bool> {
            self.1.try_iter().map(|result| result.is_ok()).collect()
        }
    }

    #[test]
    fn requests_for_one_token_share_a_flight_and_its_result() {
        let (mut table, replies) = (Introspections::default(), Replies::new());
        assert!(table.begin(token(1), replies.one(), 100));
        assert!(!table.begin(token(1), replies.one(), 100));
        assert!(table.begin(token(2), replies.one(), 100));
        assert_eq!(replies.taken(), [] as [bool; 0]);
        table.end(token(1), verified(100), 100);
        assert_eq!(replies.taken(), [true, true]);
        table.end(token(2), Err(TokenFault::Inactive), 100);
        assert_eq!(replies.taken(), [false]);
        for (number, now_s, begins) in [(1, 159, false), (1, 160, true), (2, 109, false)] {
            let begun = table.begin(token(number), replies.one(), now_s);
            assert_eq!(begun, begins, "{number} {now_s}");
        }
        assert_eq!(replies.taken(), [true, false]);
        assert!(table.begin(token(2), replies.one(), 110));
    }

    #[test]
    fn a_failure_is_not_kept() {
        let (mut table, replies) = (Introspections::default(), Replies::new());
        assert!(table.begin(token(1), replies.one(), 100));
        table.end(token(1), Err(TokenFault::KeysUnavailable), 100);
        assert!(table.begin(token(1), replies.one(), 100));
    }

    #[test]
    fn flights_and_results_are_bounded() {
        let (mut table, replies) = (Introspections::default(), Replies::new());
        for number in 0..FLIGHTS_MAX {
            assert!(table.begin(token(number), replies.one(), 0));
        }
        assert!(!table.begin(token(FLIGHTS_MAX), replies.one(), 0));
        assert_eq!(replies.taken(), [false]);
        for number in 0..2 * RESULTS_MAX {
            table.end(token(number), Err(TokenFault::Inactive), 0);
        }
        assert_eq!(table.results.len(), RESULTS_MAX);
        table.end(token(9_999_999), Err(TokenFault::Inactive), 10);
        assert_eq!(table.results.len(), 1);
        table.forget();
        assert_eq!(format!("{table:?}"), "0 flights, 0 results");
    }
}
