//! Side effects of handlers that run again: with `Call::once` they happen once.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Name, NoArguments, able_session, call, named, question, requested, response, result};
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError, Elicitation, ONCE_BYTES_MAX};
use crate::mcp::tests::test_endpoint::{
    TestEndpoint, check_parts, on_executor, text, with_trailer,
};
use corelane_io::executor::yield_now;

/// An endpoint with one tool, and how often its side effect has happened.
fn books(book: fn(Arc<AtomicUsize>) -> Tool) -> (TestEndpoint, Arc<AtomicUsize>) {
    let bookings = Arc::new(AtomicUsize::new(0));
    let plan = Plan::new(vec![book(Arc::clone(&bookings))].into(), 10);
    let plan = Arc::new(plan.expect("the tool is usable"));
    let endpoint = TestEndpoint::with(|settings| settings.parts.plan = plan);
    (endpoint, bookings)
}

/// Books a table under a number of its own, then elicits a name.
fn books_once(bookings: Arc<AtomicUsize>) -> Tool {
    let book = async move |call: &Call, _: NoArguments| {
        let effect = async {
            yield_now().await;
            Ok(bookings.fetch_add(1, Ordering::Relaxed) + 1)
        };
        let number = call.once("number", effect).await?;
        let name = who(call).await?;
        Ok(format!("{number} for {name}"))
    };
    Tool::from_schema("book", "d", r#"{"type":"object"}"#, book)
}

/// Does the same without a guard.
fn books_again(bookings: Arc<AtomicUsize>) -> Tool {
    let book = async move |call: &Call, _: NoArguments| {
        yield_now().await;
        let number = bookings.fetch_add(1, Ordering::Relaxed) + 1;
        let name = who(call).await?;
        Ok(format!("{number} for {name}"))
    };
    Tool::from_schema("book", "d", r#"{"type":"object"}"#, book)
}

/// Keeps a value that exceeds the limit of a client's state.
fn keeps_much(bookings: Arc<AtomicUsize>) -> Tool {
    let book = async move |call: &Call, _: NoArguments| {
        bookings.fetch_add(1, Ordering::Relaxed);
        let much = call.once("much", async { Ok("x".repeat(ONCE_BYTES_MAX)) });
        much.await
    };
    Tool::from_schema("book", "d", r#"{"type":"object"}"#, book)
}

async fn who(call: &Call) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let Name { name } = call.elicit("who", question).await?.into_form()?;
    Ok(name)
}

/// Books as a modern client, in two rounds; the first answer of the server comes later.
async fn book_modern(endpoint: &mut TestEndpoint) -> Value {
    call(endpoint, "book", json!({})).pending();
    let first = final_body(endpoint).await;
    let (state, keys) = requested(&first);
    assert_eq!(keys, ["who"]);
    let more = json!({"inputResponses": {"who": named("you")}, "requestState": state});
    let second = call(endpoint, "book", more);
    match second.body {
        Value::Null => final_body(endpoint).await,
        body => body,
    }
}

async fn final_body(endpoint: &mut TestEndpoint) -> Value {
    let delivered = endpoint.settle().await;
    let [(_, part)] = &delivered[..] else {
        panic!("not one part: {delivered:?}");
    };
    crate::mcp::tests::test_endpoint::part_of(part).1
}

#[test]
fn a_guarded_effect_of_a_modern_call_happens_in_its_first_round_only() {
    on_executor(async {
        let (mut endpoint, bookings) = books(books_once);
        let said = book_modern(&mut endpoint).await;
        assert_eq!(said, with_trailer(1, text("1 for you")));
        assert_eq!(bookings.load(Ordering::Relaxed), 1);
        // Another call is another booking.
        let said = book_modern(&mut endpoint).await;
        assert_eq!(said, with_trailer(1, text("2 for you")));
    });
}

#[test]
fn an_effect_without_a_guard_happens_in_each_round() {
    on_executor(async {
        let (mut endpoint, bookings) = books(books_again);
        let said = book_modern(&mut endpoint).await;
        assert_eq!(said, with_trailer(1, text("2 for you")));
        assert_eq!(bookings.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_client_cannot_choose_the_value_of_an_effect() {
    on_executor(async {
        let (mut endpoint, bookings) = books(books_once);
        let chosen = json!({"who": named("you"), "number": {"value": 7}});
        call(&mut endpoint, "book", json!({"inputResponses": chosen})).pending();
        let said = final_body(&mut endpoint).await;
        assert_eq!(said, with_trailer(1, text("1 for you")));
        assert_eq!(bookings.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn an_effect_of_a_session_happens_once_as_well() {
    on_executor(async {
        let (mut endpoint, bookings) = books(books_once);
        let session = able_session(&mut endpoint);
        let called = endpoint.call_legacy(&session, "book", json!({}));
        called.pending();
        let who = question(&endpoint.settle().await);
        endpoint.post(&session, &response(&who["id"], "result", named("you")));
        let delivered = endpoint.settle().await;
        let expected = result(1, text("1 for you"));
        check_parts(&delivered, called.exchange, &[("200", expected)]);
        assert_eq!(bookings.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_value_that_no_client_should_carry_is_refused_and_the_limit_named() {
    let (mut endpoint, _) = books(keeps_much);
    let said = call(&mut endpoint, "book", json!({})).body;
    let text = said["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains(&ONCE_BYTES_MAX.to_string()), "{said}");
    assert!(text.contains("keep an id instead"), "{said}");
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("one thread writes").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log while a modern client books.
fn log_of(book: fn(Arc<AtomicUsize>) -> Tool) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        on_executor(async { book_modern(&mut books(book).0).await });
    });
    let bytes = log.0.lock().expect("one thread writes").clone();
    String::from_utf8(bytes).expect("the log is text")
}

#[cfg(debug_assertions)]
#[test]
fn a_debug_build_warns_of_an_unprotected_wait_before_an_elicitation() {
    let log = log_of(books_again);
    assert!(log.contains("WARN"), "{log}");
    assert!(log.contains("handler=\"tool book\""), "{log}");
    assert!(log.contains("Call::once"), "{log}");
    assert_eq!(log_of(books_once), "");
}
