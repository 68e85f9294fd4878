//! Spans and a collector that takes them, refuses them for a while, or is not there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use corelane_control::otlp::{AttributeValue, Exporter, OtlpSettings, Span, SpanCounts};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to the collector: its head, and its spans.
type Received = (String, ExportTraceServiceRequest);

/// A collector that gives these answers, one after the other, and then none.
fn collector(answers: Vec<Vec<u8>>) -> (SocketAddr, Receiver<Received>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (send, received) = channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().expect("the exporter connects");
            serve(stream, &answer, &send);
        }
    });
    (address, received)
}

fn serve(stream: TcpStream, answer: &[u8], received: &Sender<Received>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).expect("a head");
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    let length = length.and_then(|it| it.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let message = ExportTraceServiceRequest::decode(&*body).expect("a message");
    let _ = received.send((head, message));
    let _ = reader.get_mut().write_all(answer);
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn exporter(address: SocketAddr, queue_max: usize) -> Exporter {
    let url = format!("http://{address}/v1/traces");
    let variable = |name| {
        let is_headers = name == "OTEL_EXPORTER_OTLP_HEADERS";
        is_headers.then(|| "x-tenant=tools".to_owned())
    };
    let settings = OtlpSettings::of(Some(&url), queue_max, variable).expect("they are right");
    Exporter::start(settings.expect("there is an endpoint")).expect("it starts")
}

fn span(number: u64) -> Span {
    Span {
        trace_id: 0xa1,
        span_id: number,
        parent_id: Some(0xb2),
        flags: 3,
        link: Some((0xc3, 0xd4)),
        name: "tools/call echo".to_owned(),
        time_unix_ns: (5_000, 7_000),
        attributes: vec![
            (
                "mcp.method.name",
                AttributeValue::Text("tools/call".to_owned()),
            ),
            ("corelane.shard", AttributeValue::Number(1)),
        ],
        is_error: true,
    }
}

/// The spans that were sent, failed, and were dropped.
fn counts(counts: &SpanCounts) -> [u64; 3] {
    let counts = [&counts.sent, &counts.failed, &counts.dropped];
    counts.map(|it| it.load(Ordering::Relaxed))
}

/// Waits for these counts.
fn wait_for(exporter: &Exporter, expected: [u64; 3]) {
    let deadline = Instant::now() + PATIENCE;
    while counts(&exporter.counts()) != expected {
        let found = counts(&exporter.counts());
        assert!(Instant::now() < deadline, "{found:?} and not {expected:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_span_arrives_with_all_that_it_has() {
    let (address, received) = collector(vec![answer("200 OK", "", b"")]);
    let exporter = exporter(address, 10);
    exporter.export(span(7));
    let (head, message) = received.recv_timeout(PATIENCE).expect("it is sent");
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf\r\n"),
        "{head}"
    );
    assert!(head.contains("x-tenant: tools\r\n"), "{head}");
    let resource = message.resource_spans[0].resource.as_ref();
    let attributes = &resource.expect("the process").attributes;
    assert!(attributes.iter().any(|it| it.key == "service.name"));
    let spans = &message.resource_spans[0].scope_spans[0].spans;
    let [found] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(found.trace_id, 0xa1_u128.to_be_bytes());
    assert_eq!(found.span_id, 7_u64.to_be_bytes());
    assert_eq!(found.parent_span_id, 0xb2_u64.to_be_bytes());
    assert_eq!((found.flags, found.kind), (3, 2), "a server");
    assert_eq!(found.links[0].trace_id, 0xc3_u128.to_be_bytes());
    assert_eq!(found.links[0].span_id, 0xd4_u64.to_be_bytes());
    let times = (found.start_time_unix_nano, found.end_time_unix_nano);
    assert_eq!(times, (5_000, 7_000));
    assert_eq!(found.status.as_ref().map(|it| it.code), Some(2), "an error");
    assert_eq!(found.attributes.len(), 2);
    wait_for(&exporter, [1, 0, 0]);
}

#[test]
fn a_batch_is_sent_again_while_the_fault_may_pass() {
    let later = "Retry-After: 0\r\n";
    let (address, received) = collector(vec![
        answer("503 Service Unavailable", later, b""),
        answer("429 Too Many Requests", later, b""),
        answer("200 OK", "", b""),
    ]);
    let exporter = exporter(address, 10);
    exporter.export(span(1));
    let attempts = [(); 3].map(|()| received.recv_timeout(PATIENCE).expect("it is sent").1);
    assert!(attempts.iter().all(|attempt| *attempt == attempts[0]));
    wait_for(&exporter, [1, 0, 0]);
}

#[test]
fn rejected_spans_are_counted_and_not_sent_again() {
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "no".to_owned(),
        }),
    };
    let (address, received) = collector(vec![
        answer("200 OK", "", &partial.encode_to_vec()),
        answer("400 Bad Request", "", b""),
    ]);
    let exporter = exporter(address, 10);
    for number in 1..=2 {
        exporter.export(span(number));
        received.recv_timeout(PATIENCE).expect("it is sent");
        wait_for(&exporter, [0, number, 0]);
    }
}

#[test]
fn a_full_queue_drops_and_an_end_waits_for_no_collector() {
    // It accepts connections, and answers nothing.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let exporter = exporter(listener.local_addr().expect("it is bound"), 1);
    for number in 1..=3000 {
        exporter.export(span(number));
    }
    // At most those of a batch, and the one of the queue.
    let fate = exporter.counts();
    drop(exporter);
    let [sent, failed, dropped] = counts(&fate);
    assert_eq!((sent, failed), (0, 0));
    assert!((3000 - 513..3000).contains(&dropped), "{dropped}");
}
