//! The client library and the gateway send the same requests and read the same answers: both are
//! run with the vectors of the binding.

use std::fs;

use corelane_client::{CachePolicy, Client, Error};
use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::{PATIENCE, Server as Gateway, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binding::{ANSWERS, AnswerVector, Meaning, REQUESTS, TOOL, TOOL_SCHEMA};

/// The lists of a server with the tool and the resource of the vectors.
fn lists() -> [(&'static str, &'static str, Value); 3] {
    let schema: Value = serde_json::from_str(TOOL_SCHEMA).expect("JSON");
    let tool = json!({"name": TOOL, "inputSchema": schema});
    let uris = REQUESTS.iter().filter_map(|vector| {
        let params: Value = serde_json::from_str(vector.params).expect("JSON");
        params["uri"].as_str().map(str::to_owned)
    });
    let resources = uris.map(|uri| json!({"uri": uri, "name": "r"})).collect();
    [
        ("tools/list", "tools", json!([tool])),
        ("resources/list", "resources", resources),
        ("resources/templates/list", "resourceTemplates", json!([])),
    ]
}

/// A server that gives this answer to each call.
fn answering(vector: &'static AnswerVector) -> MockUpstream {
    MockUpstream::with_lists(&lists(), move |received| {
        if vector.status == 0 {
            return Act::SendAndClose(Vec::new());
        }
        let id = received.message()["id"].to_string();
        let body = vector.body.replace("ID", &id);
        let mut head = format!("HTTP/1.1 {} X\r\n", vector.status);
        if let Some(media_type) = vector.media_type {
            head += &format!("Content-Type: {media_type}\r\n");
        }
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        Act::Send((head + &body).into_bytes())
    })
}

/// A gateway before these upstreams.
fn before(sections: &str) -> (Gateway, TempDir) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("corelane.toml");
    fs::write(&path, format!("[auth]\nmode = \"none\"\n{sections}")).expect("there is space");
    let path = path.to_str().expect("a path of text");
    let gateway = Setup::shards(1).arguments(&["--config", path]).start();
    (gateway, directory)
}

/// A client that knows the arguments of this tool. A gateway lists an upstream when it knows it.
async fn connect(url: String, tool: &str) -> Client {
    let builder = Client::builder().cache(CachePolicy::Off);
    let client = builder.connect(&*url).await.expect("a server");
    let listed = async {
        while !client
            .tools()
            .await
            .expect("a list")
            .iter()
            .any(|it| it.name == tool)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let listed = tokio::time::timeout(PATIENCE, listed).await;
    listed.unwrap_or_else(|_| panic!("{tool} is not listed"));
    client
}

/// The meaning of the end of a call. A gateway says in the error of a call why it has no answer.
fn meaning(result: Result<corelane_client::CallResult, Error>) -> Meaning {
    match result {
        Ok(_) => Meaning::Result,
        Err(Error::Refused(error)) => match error.data {
            Some(data) if data["reason"] == "credential" => Meaning::Credentials,
            Some(data) if data["executed"] == "no" => Meaning::NotExecuted,
            Some(data) if data["executed"] == "unknown" => Meaning::Unknown,
            _ => Meaning::Error(error.code),
        },
        Err(Error::Auth { .. }) => Meaning::Credentials,
        Err(Error::NotExecuted { .. }) => Meaning::NotExecuted,
        Err(Error::Unknown { .. } | Error::Protocol(_)) => Meaning::Unknown,
        Err(other) => panic!("{other:?}"),
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future);
}

#[test]
fn each_answer_has_the_same_meaning_for_the_client_and_the_gateway() {
    let mocks: Vec<MockUpstream> = ANSWERS.iter().map(answering).collect();
    let sections = mocks.iter().enumerate();
    let sections: String = sections
        .map(|(n, mock)| mock.section(&format!("up{n}")))
        .collect();
    let (gateway, _directory) = before(&sections);
    block_on(async {
        let url = format!("http://{}/mcp", gateway.address());
        let mut faults = Vec::new();
        for (n, (vector, mock)) in ANSWERS.iter().zip(&mocks).enumerate() {
            let direct = connect(format!("http://{}/mcp", mock.address()), TOOL).await;
            let directly = meaning(direct.call(TOOL, json!({})).await);
            if directly != vector.meaning {
                faults.push(format!("client: {directly:?} for {vector:?}"));
            }
            let tool = format!("up{n}_{TOOL}");
            let relayed = connect(url.clone(), &tool).await;
            let relayed = meaning(relayed.call(&tool, json!({})).await);
            if relayed != vector.meaning {
                faults.push(format!("gateway: {relayed:?} for {vector:?}"));
            }
            // Nothing is sent twice that may have been executed.
            let calls = mock.received_of("tools/call").len();
            if calls != 2 {
                faults.push(format!("{calls} calls for {vector:?}"));
            }
        }
        assert!(faults.is_empty(), "{faults:#?}");
    });
}

/// The text of a member of the params of a request, as it was on the wire.
fn raw<'a>(received: &'a Received, name: &str) -> &'a str {
    let start = format!("\"{name}\":");
    let at = received.body.find(&start).expect("a member") + start.len();
    let value = serde_json::Deserializer::from_str(&received.body[at..]);
    let mut values = value.into_iter::<&serde_json::value::RawValue>();
    values.next().expect("a value").expect("JSON").get()
}

/// What a server reads of a request besides its body: the fields that follow from the message.
fn fields(received: &Received) -> Vec<(String, String)> {
    let lines = received.head.lines().skip(1);
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let follows = |name: &str| {
        matches!(
            name,
            "accept" | "content-type" | "accept-encoding" | "mcp-protocol-version"
        ) || name == "mcp-method"
            || name == "mcp-name"
            || name.starts_with("mcp-param-")
    };
    let mut fields: Vec<_> = fields.filter(|(name, _)| follows(name)).collect();
    fields.sort();
    fields
}

#[test]
fn each_request_is_the_same_from_the_client_and_from_the_gateway() {
    let mock = MockUpstream::with_lists(&lists(), |received| {
        let result = r#"{"content":[],"contents":[],"resultType":"complete"}"#;
        Act::Send(result_of(received, result))
    });
    let (gateway, _directory) = before(&mock.section("up"));
    block_on(async {
        let direct = connect(format!("http://{}/mcp", mock.address()), TOOL).await;
        let relayed = format!("up_{TOOL}");
        let relayed = connect(format!("http://{}/mcp", gateway.address()), &relayed).await;
        for vector in REQUESTS {
            let mut params: Value = serde_json::from_str(vector.params).expect("JSON");
            direct
                .request(vector.method, params.clone())
                .await
                .expect("a result");
            if params.get("name").is_some() {
                params["name"] = json!(format!("up_{TOOL}"));
            }
            relayed
                .request(vector.method, params)
                .await
                .expect("a result");
            let received = mock.received_of(vector.method);
            let [.., one, other] = &received[..] else {
                panic!("{received:?}");
            };
            assert_eq!(fields(one), fields(other), "{}", vector.params);
            for (name, value) in vector.fields {
                assert_eq!(one.field(name), Some(*value), "{}", one.head);
            }
            let expected: Value = serde_json::from_str(vector.params).expect("JSON");
            for (name, value) in expected.as_object().expect("params") {
                assert_eq!(one.message()["params"][name], *value);
                assert_eq!(raw(one, name), raw(other, name), "{name}");
            }
        }
    });
}
