//! The client of the conformance suite: `corelane-conformance-client URL`, with the scenario in
//! `MCP_CONFORMANCE_SCENARIO` and its data in `MCP_CONFORMANCE_CONTEXT`.
//!
//! Each scenario is a use of the public API of `corelane-client`. An unknown one lists the tools
//! and calls the first. The exit code is 1 for an error, which some scenarios expect.

use std::process::ExitCode;
use std::sync::Arc;

use corelane_client::{AuthError, Builder, Client, ClientCredentials, Error, Interactive, json};
use serde_json::Value;
use tokio::sync::Notify;

type Outcome = Result<(), Error>;

/// The name that the client has.
const NAME: &str = "corelane-conformance-client";
/// The URL of its metadata, which the suite expects.
const METADATA_URL: &str = "https://conformance-test.local/client-metadata.json";
/// Where the suite sends the user back to; nothing listens there.
const REDIRECT_URI: &str = "http://localhost:3000/callback";

fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("usage: corelane-conformance-client URL");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime
            .block_on(run(&url))
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Outcome {
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    let context: Value = serde_json::from_str(&context).unwrap_or_default();
    let builder = Client::builder().name(NAME, "1.0.0");
    let builder = match &*scenario {
        "auth/client-credentials-basic" => builder.auth(client_credentials(&context)),
        "auth/client-credentials-jwt" => match private_key(&context) {
            Ok(auth) => builder.auth(auth),
            Err(error) => return Err(Error::Protocol(error.to_string())),
        },
        name if name.starts_with("auth/") => builder.auth(interactive(&context)),
        _ => builder,
    };
    match &*scenario {
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => {
            list_tools(builder, url).await
        }
        "tools_call" => add_numbers(builder, url).await,
        "elicitation-sep1034-client-defaults" => accept_defaults(builder, url).await,
        "sse-retry" => call_one(builder, url, "test_reconnection").await,
        "sep-2322-client-request-state" => mix_calls(builder, url).await,
        "http-standard-headers" => use_every_method(builder, url).await,
        "http-custom-headers" => call_listed(builder, url, &context).await,
        "json-schema-2020-12-preservation" => echo_schema(builder, url).await,
        _ => call_all(builder, url).await,
    }
}

/// A user who agrees to everything.
fn interactive(context: &Value) -> Interactive {
    let auth = Interactive::following(NAME, REDIRECT_URI, follow).metadata_url(METADATA_URL);
    let member = |name: &str| context.get(name).and_then(Value::as_str);
    match member("client_id") {
        Some(id) => auth.registered(id, member("client_secret")),
        None => auth,
    }
}

fn client_credentials(context: &Value) -> ClientCredentials {
    let [id, secret] = ["client_id", "client_secret"].map(|name| text(context, name));
    ClientCredentials::new(id, secret)
}

fn private_key(context: &Value) -> Result<ClientCredentials, AuthError> {
    let [id, key] = ["client_id", "private_key_pem"].map(|name| text(context, name));
    ClientCredentials::with_private_key(id, key)
}

fn text<'a>(context: &'a Value, name: &str) -> &'a str {
    let member = context.get(name).and_then(Value::as_str);
    member.unwrap_or_default()
}

/// Opens a page of the suite, which leads back at once.
async fn follow(url: String) -> Result<String, AuthError> {
    let failed = |error: reqwest::Error| AuthError(error.to_string());
    let policy = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder()
        .redirect(policy)
        .build()
        .map_err(failed)?;
    let response = browser.get(&url).send().await.map_err(failed)?;
    let location = response.headers().get("location");
    let location = location.and_then(|location| location.to_str().ok());
    let missing = || AuthError("the page leads nowhere".to_owned());
    location.map(str::to_owned).ok_or_else(missing)
}

async fn list_tools(builder: Builder, url: &str) -> Outcome {
    let client = builder.connect(url).await?;
    client.tools().await?;
    client.close().await;
    Ok(())
}

async fn add_numbers(builder: Builder, url: &str) -> Outcome {
    let client = builder.connect(url).await?;
    client.tools().await?;
    client.call("add_numbers", json!({"a": 5, "b": 3})).await?;
    client.close().await;
    Ok(())
}

async fn call_one(builder: Builder, url: &str, name: &str) -> Outcome {
    let client = builder.connect(url).await?;
    client.tools().await?;
    client.call(name, json!({})).await?;
    client.close().await;
    Ok(())
}

async fn accept_defaults(builder: Builder, url: &str) -> Outcome {
    let builder = builder.on_elicit(|elicit| async move { elicit.accept_defaults() });
    call_one(builder, url, "test_client_elicitation_defaults").await
}

/// A call while another one waits between its rounds.
async fn mix_calls(builder: Builder, url: &str) -> Outcome {
    let (elicited, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, is_released) = (Arc::clone(&elicited), Arc::clone(&released));
    let client = builder
        .on_elicit(move |elicit| {
            let (waits, is_released) = (Arc::clone(&waits), Arc::clone(&is_released));
            async move {
                waits.notify_one();
                is_released.notified().await;
                elicit.accept(json!({"confirmed": true}))
            }
        })
        .connect(url)
        .await?;
    client.tools().await?;
    let first = async { client.call("test_mrtr_echo_state", json!({})).await };
    let second = async {
        elicited.notified().await;
        let called = client.call("test_mrtr_unrelated", json!({})).await;
        released.notify_one();
        called
    };
    let (first, second) = tokio::join!(first, second);
    first.and(second)?;
    for name in ["test_mrtr_no_state", "test_mrtr_no_result_type"] {
        released.notify_one();
        client.call(name, json!({})).await?;
    }
    Ok(())
}

async fn use_every_method(builder: Builder, url: &str) -> Outcome {
    let client = builder.connect(url).await?;
    for tool in client.tools().await? {
        client.call(&tool.name, json!({})).await?;
    }
    for resource in client.resources().await? {
        client.read(&resource.uri).await?;
    }
    for prompt in client.prompts().await? {
        client.prompt(&prompt.name, [("", ""); 0]).await?;
    }
    Ok(())
}

/// The calls of the scenario's data.
async fn call_listed(builder: Builder, url: &str, context: &Value) -> Outcome {
    let client = builder.connect(url).await?;
    client.tools().await?;
    let calls = context.get("toolCalls").and_then(Value::as_array);
    for call in calls.into_iter().flatten() {
        let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
        let arguments = call.get("arguments").cloned().unwrap_or_default();
        client.call(name, arguments).await?;
    }
    Ok(())
}

async fn echo_schema(builder: Builder, url: &str) -> Outcome {
    let client = builder.connect(url).await?;
    for tool in client.tools().await? {
        if tool.name != "json_schema_echo" {
            let schema: Value = serde_json::from_str(tool.input_schema.get())
                .map_err(|error| Error::Protocol(error.to_string()))?;
            client
                .call("json_schema_echo", json!({"schema": schema}))
                .await?;
        }
    }
    Ok(())
}

/// Calls each tool that the list has.
async fn call_all(builder: Builder, url: &str) -> Outcome {
    let client = builder.connect(url).await?;
    for tool in client.tools().await? {
        client.call(&tool.name, json!({})).await?;
    }
    client.close().await;
    Ok(())
}
