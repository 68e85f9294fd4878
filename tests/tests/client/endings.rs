//! Early ends: time-outs, dropped calls, servers that restart or are not there.

use std::time::Duration;

use corelane_client::{Client, Clock, Era, Error, connect, json};
use corelane_tests::Setup;

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// A server over HTTP and lines, and the addresses of both.
fn start() -> (corelane_tests::Server, [String; 2]) {
    let server = Setup::shards(1).listen("tcp://127.0.0.1:0").start();
    let http = format!("http://{}/mcp", server.address());
    let lines = server.addresses()[1].replace("tcp://", "tcp:");
    (server, [http, lines])
}

#[test]
fn a_silent_call_times_out_and_the_connection_lives() {
    let (_server, addresses) = start();
    run(async {
        for (address, era) in addresses
            .iter()
            .flat_map(|address| [Era::Modern, Era::Legacy].map(|era| (address, era)))
        {
            let client = Client::builder().era(era).connect(address.as_str()).await;
            let client = client.unwrap_or_else(|error| panic!("{address} {era:?}: {error}"));
            let sleep = || client.call("sleep", json!({"ms": 60_000}));
            let late = sleep().timeout(Duration::from_millis(50)).await;
            assert!(
                matches!(late, Err(Error::Timeout(Clock::Silence))),
                "{late:?}"
            );
            let late = sleep().max_timeout(Duration::from_millis(50)).await;
            assert!(
                matches!(late, Err(Error::Timeout(Clock::Total))),
                "{late:?}"
            );
            drop(tokio::time::timeout(Duration::from_millis(50), async { sleep().await }).await);
            let echo = client.call("echo", json!({"message": "still there"})).await;
            assert_eq!(echo.expect("a result").text(), "still there");
            client.close().await;
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_its_address() {
    run(async {
        // A port that was free a moment ago.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        drop(socket);
        for target in [
            format!("http://{address}/mcp"),
            format!("tcp:{address}"),
            "unix:/nonexistent/socket".to_owned(),
            "stdio:/nonexistent/program".to_owned(),
        ] {
            let error = connect(target.as_str()).await.expect_err("no server");
            let is_connect = matches!(&error, Error::Connect { .. });
            assert!(
                is_connect && error.to_string().contains(&target),
                "{target}: {error}"
            );
        }
    });
}

#[test]
fn a_process_that_exits_on_the_probe_is_no_server() {
    run(async {
        let error = connect("stdio:true").await.expect_err("no server");
        assert!(
            error.to_string().contains("the connection ended"),
            "{error}"
        );
    });
}
