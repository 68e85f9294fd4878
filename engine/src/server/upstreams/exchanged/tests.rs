//! Exchanged tokens with a virtual clock.

use std::time::{Duration, Instant};

use super::{BUSY, ExchangeStep, Exchanges, INTERVAL, NOT_TAKEN, REFUSED, UNAVAILABLE};
use super::{REQUEST_TIME, REQUESTS_MAX, TOKENS_MAX};
use crate::upstream::board::{GrantFault, Granted};

const HOUR: Duration = Duration::from_secs(3600);

fn granted(value: &str, life: Option<Duration>) -> Result<Granted, GrantFault> {
    let value = format!("Bearer {value}");
    Ok(Granted { value, life })
}

fn failed(is_refused: bool) -> Result<Granted, GrantFault> {
    let text = "its text is for the log".to_owned();
    Err(GrantFault { is_refused, text })
}

/// The answer to a shard: the line, or why there is none.
fn answer(step: ExchangeStep) -> Result<String, &'static str> {
    match step {
        ExchangeStep::Answer(outcome) => {
            outcome.map(|token| String::from_utf8(token.line().to_vec()).expect("a field has text"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_exchange_serves_all_shards_and_another_token_has_one_of_its_own() {
    let (mut exchanges, now) = (Exchanges::default(), Instant::now());
    let (one, other) = ((1, [1; 32]), (1, [2; 32]));
    let mut request = |key, shard| exchanges.handle_request(key, (shard, None), None, now);
    assert!(matches!(request(one, 0), ExchangeStep::Begin));
    assert!(matches!(request(one, 1), ExchangeStep::Wait));
    assert!(matches!(request(other, 0), ExchangeStep::Begin));
    assert!(matches!(request((2, [1; 32]), 0), ExchangeStep::Begin));
    let (shards, outcome) = exchanges.handle_exchanged(one, granted("a", Some(HOUR)), now);
    assert_eq!(Vec::from_iter(shards), [0, 1]);
    let token = outcome.expect("it was exchanged");
    assert_eq!(token.line(), b"authorization: Bearer a\r\n");
    assert_eq!(token.ends, now + HOUR);
    let step = exchanges.handle_request(one, (2, None), None, now);
    assert_eq!(answer(step).as_deref(), Ok("authorization: Bearer a\r\n"));
    exchanges.retain(|instance| instance == 2);
    let step = exchanges.handle_request(one, (2, None), None, now);
    assert!(matches!(step, ExchangeStep::Begin));
}

#[test]
fn a_token_ends_with_that_of_its_client_and_is_renewed_before() {
    let (mut exchanges, mut now) = (Exchanges::default(), Instant::now());
    let (key, minute) = ((1, [1; 32]), Some(Duration::from_secs(60)));
    exchanges.handle_request(key, (0, None), minute, now);
    let (_, outcome) = exchanges.handle_exchanged(key, granted("a", Some(HOUR)), now);
    let token = outcome.expect("it was exchanged");
    assert_eq!(token.ends, now + Duration::from_secs(60));
    assert_eq!(token.renew, now + Duration::from_secs(48));
    now += Duration::from_secs(50);
    let left = Some(Duration::from_secs(10));
    let renewal = exchanges.handle_request(key, (0, Some(token.number)), left, now);
    assert!(matches!(renewal, ExchangeStep::Begin));
    let (_, outcome) = exchanges.handle_exchanged(key, failed(false), now);
    assert_eq!(outcome.err(), Some(UNAVAILABLE));
    let step = exchanges.handle_request(key, (1, None), left, now);
    assert!(answer(step).is_ok(), "it is used to its end");
    now += Duration::from_secs(10);
    let step = exchanges.handle_request(key, (1, None), None, now);
    assert!(matches!(step, ExchangeStep::Begin), "and not after it");
}

#[test]
fn a_token_that_is_refused_is_exchanged_once_in_a_second() {
    let (mut exchanges, mut now) = (Exchanges::default(), Instant::now());
    let key = (1, [1; 32]);
    let request = |exchanges: &mut Exchanges, before, now| {
        exchanges.handle_request(key, (0, before), None, now)
    };
    request(&mut exchanges, None, now);
    let (_, outcome) = exchanges.handle_exchanged(key, failed(true), now);
    assert_eq!(outcome.err(), Some(REFUSED));
    assert_eq!(answer(request(&mut exchanges, None, now)), Err(REFUSED));
    now += INTERVAL;
    assert!(matches!(
        request(&mut exchanges, None, now),
        ExchangeStep::Begin
    ));
    let (_, outcome) = exchanges.handle_exchanged(key, granted("a", None), now);
    let number = outcome.expect("it was exchanged").number;
    let refused = request(&mut exchanges, Some(number), now);
    assert_eq!(answer(refused), Err(NOT_TAKEN));
    now += INTERVAL;
    let refused = request(&mut exchanges, Some(number), now);
    assert!(matches!(refused, ExchangeStep::Begin));
    let (_, outcome) = exchanges.handle_exchanged(key, granted("b", None), now);
    assert!(outcome.is_ok());
    let late = request(&mut exchanges, Some(number), now);
    assert!(answer(late).is_ok_and(|line| line.contains("Bearer b")));
    // The exchange was given up: the next one begins.
    now += HOUR;
    assert!(matches!(
        request(&mut exchanges, None, now),
        ExchangeStep::Begin
    ));
    now += REQUEST_TIME;
    assert!(matches!(
        request(&mut exchanges, None, now),
        ExchangeStep::Begin
    ));
}

#[test]
fn tokens_and_exchanges_are_bounded() {
    let (mut exchanges, now) = (Exchanges::default(), Instant::now());
    let key = |number: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        (1, key)
    };
    for number in 0..REQUESTS_MAX {
        exchanges.handle_request(key(number), (0, None), None, now);
    }
    let step = exchanges.handle_request(key(REQUESTS_MAX), (0, None), None, now);
    assert_eq!(answer(step), Err(BUSY));
    for number in 0..REQUESTS_MAX {
        let granted = granted("a", Some(HOUR));
        assert!(
            exchanges
                .handle_exchanged(key(number), granted, now)
                .1
                .is_ok()
        );
    }
    for number in REQUESTS_MAX..TOKENS_MAX + 10 {
        exchanges.handle_request(key(number), (0, None), None, now);
        let granted = granted("a", Some(HOUR));
        assert!(
            exchanges
                .handle_exchanged(key(number), granted, now)
                .1
                .is_ok()
        );
    }
    assert_eq!(exchanges.entries.len(), TOKENS_MAX);
    let step = exchanges.handle_request(key(0), (0, None), None, now);
    assert!(
        matches!(step, ExchangeStep::Begin),
        "the oldest was forgotten"
    );
}
