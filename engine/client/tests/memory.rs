//! A server in the process of its client, in both eras.
#![cfg(feature = "memory")]

use corelane::{Call, CallError, Elicitation, Server, tool};
use corelane_client::{Client, Era, Error, json};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

/// Greets the user.
#[tool]
async fn greet(call: &Call) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let Name { name } = call.elicit("who", question).await?.into_form()?;
    Ok(format!("Hello, {name}!"))
}

#[tokio::test]
async fn tools_run_and_elicit_in_both_eras() {
    for (era, expected) in [
        (Era::Auto, Era::Modern),
        (Era::Modern, Era::Modern),
        (Era::Legacy, Era::Legacy),
    ] {
        let server = Server::new("greeter", "1.0.0").with_tool(greet());
        let builder = Client::builder().era(era);
        let builder = builder.on_elicit(|form| async move { form.accept(json!({"name": "Ada"})) });
        let client = builder.connect(server).await.expect("a server");
        assert_eq!(client.era(), expected);
        assert_eq!(client.server().name, "greeter");
        let tools = client.tools().await.expect("a list");
        assert_eq!(tools.len(), 1);
        let greeting = client.call("greet", json!({})).await.expect("a result");
        assert_eq!(greeting.text(), "Hello, Ada!");
        let unknown = client.call("none", json!({})).await;
        assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");
        client.close().await;
    }
}
