//! Tools of the MCP conformance suite whose calls become tasks.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::samples::{NoArguments, STEP};
use corelane::{Call, CallError, Elicitation, Elicited, Server, TaskSupport, Tool, sleep};

/// How long a job takes that fails.
const JOB: Duration = Duration::from_secs(1);

/// The longest computation, in seconds; a longer one is cut to this.
const SECONDS_MAX: f64 = 3600.0;

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Computation {
    seconds: f64,
    label: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct File {
    filename: String,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmation {
    confirm: bool,
}

pub(super) fn add_to(server: Server) -> Server {
    let server = server.with_tool(Tool::new(
        "greet",
        "Greets, and never becomes a task.",
        async |_: &Call, Name { name }| Ok(format!("Hello, {name}!")),
    ));
    that_elicit(that_take_time(server))
}

fn that_take_time(server: Server) -> Server {
    let optional = |tool: Tool| tool.with_task_support(TaskSupport::Optional);
    server
        .with_tool(optional(Tool::new(
            "slow_compute",
            "Takes its time.",
            async |call: &Call, Computation { seconds, label }: Computation| {
                let label = label.unwrap_or_default();
                call.set_status(&format!("computing {label}"));
                sleep(Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))).await;
                Ok(format!("Computed {label} in {seconds} s"))
            },
        )))
        .with_tool(
            Tool::new(
                "failing_job",
                "Works, and fails.",
                async |_: &Call, _: NoArguments| {
                    sleep(JOB).await;
                    Err::<(), _>(CallError::new("the job failed, as it always does"))
                },
            )
            .with_task_support(TaskSupport::Required),
        )
        .with_tool(optional(Tool::new(
            "protocol_error_job",
            "Works, and ends with a JSON-RPC error.",
            async |_: &Call, _: NoArguments| {
                sleep(STEP).await;
                Err::<(), _>(CallError::internal("the job broke down, as it always does"))
            },
        )))
}

fn that_elicit(server: Server) -> Server {
    let optional = |tool: Tool| tool.with_task_support(TaskSupport::Optional);
    server
        .with_tool(optional(Tool::new(
            "confirm_delete",
            "Asks before it deletes nothing.",
            async |call: &Call, File { filename }: File| {
                call.start_task().await;
                let question = format!("Delete {filename}?");
                call.set_status("the user has to confirm");
                let question = Elicitation::form::<Confirmation>(question)?;
                let answer = call.elicit("confirmation", question).await?;
                call.set_status("");
                Ok(match answer.into_form::<Confirmation>() {
                    Ok(Confirmation { confirm: true }) => format!("{filename} deleted"),
                    _ => format!("{filename} kept"),
                })
            },
        )))
        .with_tool(optional(Tool::new(
            "multi_input",
            "Asks two things at once.",
            async |call: &Call, _: NoArguments| {
                call.start_task().await;
                elicits_twice(call).await
            },
        )))
        .with_tool(
            Tool::new(
                "test_tool_with_task",
                "Asks first and works then.",
                async |call: &Call, _: NoArguments| {
                    let question = Elicitation::form::<Name>("What is your name?")?;
                    let Name { name } = call.elicit("user_name", question).await?.into_form()?;
                    sleep(STEP).await;
                    Ok(format!("Hello, {name}!"))
                },
            )
            .with_task_support(TaskSupport::Required),
        )
}

async fn elicits_twice(call: &Call) -> Result<String, CallError> {
    let mut first = pin!(call.elicit("first", Elicitation::form::<Name>("The first name?")?));
    let mut second = pin!(call.elicit("second", Elicitation::form::<Name>("The second name?")?));
    let (mut one, mut other) = (None, None);
    poll_fn(|context| {
        // Both are polled before the first wait: both requests go out at once.
        if one.is_none()
            && let Poll::Ready(answer) = first.as_mut().poll(context)
        {
            one = Some(answer);
        }
        if other.is_none()
            && let Poll::Ready(answer) = second.as_mut().poll(context)
        {
            other = Some(answer);
        }
        match one.is_some() && other.is_some() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let accepted = [one, other].into_iter().flatten();
    let accepted = accepted.filter(|answer| matches!(answer, Ok(Elicited::Accepted(_))));
    Ok(format!("{} of 2 answered", accepted.count()))
}
