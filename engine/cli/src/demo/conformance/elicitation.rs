//! Tools and a prompt of the MCP conformance suite that send requests to the client.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::samples::NoArguments;
use corelane::{
    Call, CallError, ClientCapability, Elicitation, Elicited, Prompt, PromptMessage, Sampling,
    Server, Tool,
};

#[derive(Deserialize, JsonSchema)]
struct Message {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    prompt: String,
}

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

pub(super) fn add_to(server: Server) -> Server {
    in_rounds(on_the_way(server)).with_prompt(Prompt::new(
        "test_input_required_result_prompt",
        "Asks the user for context first.",
        async |call: &Call, _: NoArguments| {
            let question = json!({
                "type": "object", "properties": {"context": {"type": "string"}},
                "required": ["context"],
            });
            let question = Elicitation::form_of("What is the context?", &question)?;
            let context = text_of(&call.elicit("user_context", question).await?, "context");
            Ok(PromptMessage::user(format!("Use this context: {context}")))
        },
    ))
}

/// Requests to the client while a call of any era runs.
fn on_the_way(server: Server) -> Server {
    server
        .with_tool(Tool::new(
            "test_sampling",
            "Asks the client's model.",
            async |call: &Call, Text { prompt }| {
                let answer = call
                    .sample("answer", Sampling::new(100).with_user_text(prompt))
                    .await?;
                Ok(format!("LLM response: {}", answer.text()))
            },
        ))
        .with_tool(Tool::new(
            "test_elicitation",
            "Asks the user for a name and an address.",
            async |call: &Call, Message { message }| {
                let question = json!({
                    "type": "object",
                    "properties": {
                        "username": {"type": "string", "description": "User's name"},
                        "email": {"type": "string", "description": "User's email address"},
                    },
                    "required": ["username", "email"],
                });
                let question = Elicitation::form_of(message, &question)?;
                Ok(say(&call.elicit("user", question).await?))
            },
        ))
        .with_tool(Tool::new(
            "test_elicitation_sep1034_defaults",
            "Asks with defaults of every kind.",
            async |call: &Call, _: NoArguments| {
                let question = json!({"type": "object", "properties": {
                    "name": {"type": "string", "default": "John Doe"},
                    "age": {"type": "integer", "default": 30},
                    "score": {"type": "number", "default": 95.5},
                    "status": {
                        "type": "string",
                        "enum": ["active", "inactive", "pending"],
                        "default": "active",
                    },
                    "verified": {"type": "boolean", "default": true},
                }});
                let question = Elicitation::form_of("Check what is filled in", &question)?;
                Ok(say(&call.elicit("defaults", question).await?))
            },
        ))
        .with_tool(Tool::new(
            "test_elicitation_sep1330_enums",
            "Asks with enums of every kind.",
            async |call: &Call, _: NoArguments| {
                let question = Elicitation::form_of("Choose", &enums())?;
                Ok(say(&call.elicit("choices", question).await?))
            },
        ))
        .with_tool(Tool::new(
            "test_streaming_elicitation",
            "Asks the user while it could stream.",
            async |call: &Call, _: NoArguments| {
                let question = Elicitation::form::<Name>("What is your name?")?;
                Ok(say(&call.elicit("user_name", question).await?))
            },
        ))
}

fn enums() -> serde_json::Value {
    let titled = json!([
        {"const": "value1", "title": "First Option"},
        {"const": "value2", "title": "Second Option"},
        {"const": "value3", "title": "Third Option"},
    ]);
    let plain = json!(["option1", "option2", "option3"]);
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }})
}

/// Requests that modern clients answer in rounds.
fn in_rounds(server: Server) -> Server {
    server
        .with_tool(Tool::new(
            "test_input_required_result_elicitation",
            "Greets the user by name.",
            greets,
        ))
        .with_tool(Tool::new(
            "test_input_required_result_tampered_state",
            "Asks, and takes back only the state it gave.",
            greets,
        ))
        .with_tool(Tool::new(
            "test_input_required_result_sampling",
            "Asks the client's model for a capital.",
            async |call: &Call, _: NoArguments| {
                let question = Sampling::new(100).with_user_text("What is the capital of France?");
                let answer = call.sample("capital_question", question).await?;
                Ok(format!("The model says: {}", answer.text()))
            },
        ))
        .with_tool(Tool::new(
            "test_input_required_result_list_roots",
            "Lists the client's roots.",
            async |call: &Call, _: NoArguments| {
                let roots = call.roots("client_roots").await?;
                Ok(format!("The client has {} roots", roots.len()))
            },
        ))
        .with_tool(Tool::new(
            "test_input_required_result_request_state",
            "Asks, and keeps its state with the client.",
            async |call: &Call, _: NoArguments| {
                let question = Elicitation::form::<Name>("Who are you?")?;
                call.elicit("confirmation", question).await?;
                Ok("state-ok")
            },
        ))
        .with_tool(Tool::new(
            "test_input_required_result_multiple_inputs",
            "Asks three things at once.",
            elicits_three_times,
        ))
        .with_tool(Tool::new(
            "test_input_required_result_multi_round",
            "Asks one thing after the other.",
            async |call: &Call, _: NoArguments| {
                let first = Elicitation::form::<Name>("Step 1: what is your name?")?;
                let name = text_of(&call.elicit("step1", first).await?, "name");
                let second = Elicitation::form::<Name>("Step 2: what is your colour?")?;
                let colour = text_of(&call.elicit("step2", second).await?, "name");
                Ok(format!("{name} likes {colour}"))
            },
        ))
        .with_tool(Tool::new(
            "test_input_required_result_capabilities",
            "Sends only requests that the client can answer.",
            async |call: &Call, _: NoArguments| {
                if call.client_can(ClientCapability::ElicitationForm) {
                    return greets(call, NoArguments {}).await;
                }
                let question = Sampling::new(100).with_user_text("Invent a name.");
                let answer = call.sample("invented_name", question).await?;
                Ok(format!("Hello, {}!", answer.text()))
            },
        ))
}

async fn greets(call: &Call, _: NoArguments) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("What is your name?")?;
    let Name { name } = call.elicit("user_name", question).await?.into_form()?;
    Ok(format!("Hello, {name}!"))
}

async fn elicits_three_times(call: &Call, _: NoArguments) -> Result<String, CallError> {
    let mut name = pin!(call.elicit("user_name", Elicitation::form::<Name>("Who are you?")?));
    let mut model = pin!(call.sample(
        "greeting",
        Sampling::new(100).with_user_text("Greet the user.")
    ));
    let mut roots = pin!(call.roots("client_roots"));
    let (mut named, mut greeted, mut rooted) = (None, None, None);
    poll_fn(|context| {
        // All are polled before the first wait: all requests go out in one round.
        named = named.take().or_else(|| ready(name.as_mut().poll(context)));
        greeted = greeted
            .take()
            .or_else(|| ready(model.as_mut().poll(context)));
        rooted = rooted
            .take()
            .or_else(|| ready(roots.as_mut().poll(context)));
        match named.is_some() && greeted.is_some() && rooted.is_some() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let missing = || CallError::new("an answer is missing");
    let name = text_of(&named.ok_or_else(missing)??, "name");
    let greeting = greeted.ok_or_else(missing)??;
    let roots = rooted.ok_or_else(missing)??;
    Ok(format!("{} {name}, {} roots", greeting.text(), roots.len()))
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn say(answer: &Elicited) -> String {
    match answer {
        Elicited::Accepted(content) => format!(
            "User response: action=accept, content={}",
            serde_json::Value::Object(content.clone())
        ),
        Elicited::Declined => "User response: action=decline".to_owned(),
        Elicited::Cancelled => "User response: action=cancel".to_owned(),
    }
}

/// The value of a field of the form; empty if the user did not accept.
fn text_of(answer: &Elicited, field: &str) -> String {
    match answer {
        Elicited::Accepted(content) => content.get(field).and_then(|it| it.as_str()),
        Elicited::Declined | Elicited::Cancelled => None,
    }
    .unwrap_or_default()
    .to_owned()
}
