//! Answers to the questions of a server: from the command line, or from the user at a terminal.
//!
//! Without an answer a question is declined. Nothing is opened, and no prompt is shown without a
//! terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use corelane_client::{Builder, Elicit, ElicitAnswer, ElicitMode};
use serde_json::{Map, Value, json};

use super::output::escaped;
use super::tool_arguments::{self, Argument};

/// Lines that do not fit a field before the form is given up.
const TRIES_MAX: usize = 3;

/// The answers to questions.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnswerArguments {
    /// The value of a field that the server elicits; repeatable.
    #[arg(long = "answer", value_name = "NAME=VALUE", value_parser = tool_arguments::parse)]
    answers: Vec<Argument>,
    /// Accept forms with the defaults of their fields.
    #[arg(long)]
    answer_defaults: bool,
    /// Decline all that the server elicits: the default without a terminal.
    #[arg(long, conflicts_with_all = ["answers", "answer_defaults"])]
    decline: bool,
    /// Whether a question was declined.
    #[arg(skip)]
    declined: Arc<AtomicBool>,
}

impl AnswerArguments {
    /// A client with these answers.
    pub(crate) fn add_to(&self, builder: Builder) -> Builder {
        let answers = self.clone();
        builder.on_elicit(move |elicit| {
            let answers = answers.clone();
            async move {
                let answer = answers.answer(elicit).await;
                if !matches!(answer, ElicitAnswer::Accept(_)) {
                    answers.declined.store(true, Ordering::Relaxed);
                }
                answer
            }
        })
    }

    /// Whether a question was declined.
    pub(crate) fn has_declined(&self) -> bool {
        self.declined.load(Ordering::Relaxed)
    }

    async fn answer(&self, elicit: Elicit) -> ElicitAnswer {
        let ElicitMode::Form(schema) = &elicit.mode else {
            return match self.may_prompt() {
                true => prompt(move || show_page(&elicit)).await,
                false => ElicitAnswer::Decline,
            };
        };
        if self.answer_defaults || !self.answers.is_empty() {
            let mut values = Map::new();
            let properties = schema["properties"].as_object();
            for (name, _) in properties.into_iter().flatten() {
                let given = self.answers.iter().find(|answer| answer.name == *name);
                match given.map(|answer| answer.value(Some(schema))) {
                    Some(Ok(value)) => drop(values.insert(name.clone(), value)),
                    Some(Err(_)) => return ElicitAnswer::Decline,
                    None => {}
                }
            }
            return elicit.accept(Value::Object(values));
        }
        match self.may_prompt() {
            true => prompt(move || show_form(&elicit)).await,
            false => ElicitAnswer::Decline,
        }
    }

    fn may_prompt(&self) -> bool {
        !self.decline && io::stdin().is_terminal() && io::stderr().is_terminal()
    }
}

/// Runs a prompt apart, so that SIGINT and the connection do not wait for the user.
async fn prompt(show: impl FnOnce() -> ElicitAnswer + Send + 'static) -> ElicitAnswer {
    let shown = tokio::task::spawn_blocking(show).await;
    shown.unwrap_or(ElicitAnswer::Cancel)
}

fn show_page(elicit: &Elicit) -> ElicitAnswer {
    let ElicitMode::Url(url) = &elicit.mode else {
        return ElicitAnswer::Cancel;
    };
    let Elicit {
        server, message, ..
    } = elicit;
    say(&format!(
        "{server} wants you to open a page: {message}\n{url}\n"
    ));
    match line("Have you opened it? [y/N] ").as_deref() {
        Some("y" | "yes") => elicit.accept(json!({})),
        Some(_) => ElicitAnswer::Decline,
        None => ElicitAnswer::Cancel,
    }
}

fn show_form(elicit: &Elicit) -> ElicitAnswer {
    let ElicitMode::Form(schema) = &elicit.mode else {
        return ElicitAnswer::Cancel;
    };
    let Elicit {
        server, message, ..
    } = elicit;
    say(&format!("{server} elicits: {message}\n"));
    let required = schema["required"].as_array();
    let mut values = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = required.is_some_and(|all| all.iter().any(|it| it == name));
        match field(schema, name, property, is_required) {
            Ok(Some(value)) => drop(values.insert(name.clone(), value)),
            Ok(None) => {}
            Err(answer) => return answer,
        }
    }
    match line("Send it? [Y/n] ").as_deref() {
        Some("" | "y" | "yes") => elicit.accept(Value::Object(values)),
        Some(_) => ElicitAnswer::Decline,
        None => ElicitAnswer::Cancel,
    }
}

/// Reads one field; none if it is left out.
fn field(
    schema: &Value,
    name: &str,
    property: &Value,
    is_required: bool,
) -> Result<Option<Value>, ElicitAnswer> {
    let text = |member: &str| property[member].as_str();
    let mut facts: Vec<String> = text("description").map(str::to_owned).into_iter().collect();
    facts.extend(text("type").map(str::to_owned));
    if let Some(choices) = property["enum"].as_array() {
        let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
        facts.push(choices.join(", "));
    }
    let default = property.get("default");
    facts.extend(default.map(|default| format!("empty for {default}")));
    let title = text("title").unwrap_or(name);
    for _ in 0..TRIES_MAX {
        let typed = line(&format!("{title} ({}): ", facts.join("; ")));
        let typed = typed.ok_or(ElicitAnswer::Cancel)?;
        if typed.is_empty() && (default.is_some() || !is_required) {
            return Ok(None);
        }
        match Argument::of_text(name, typed).value(Some(schema)) {
            Ok(value) => return Ok(Some(value)),
            Err(fault) => say(&format!("{fault}\n")),
        }
    }
    Err(ElicitAnswer::Decline)
}

/// Shows a text of the server on the terminal.
fn say(text: &str) {
    let _ = write!(io::stderr(), "{}", escaped(text));
}

/// A line of the user; none at the end of the input.
fn line(prompt: &str) -> Option<String> {
    say(prompt);
    let mut line = String::new();
    let bytes = io::stdin().lock().read_line(&mut line).ok()?;
    (bytes > 0).then(|| line.trim().to_owned())
}
