//! Tools that change the catalog at run time.

use super::samples::NoArguments;
use corelane::{Call, CallError, Prompt, Server, ServerHandle, Tool};

pub(super) fn add_to(server: Server) -> Server {
    let (tools, prompts, resources) = (server.handle(), server.handle(), server.handle());
    server
        .with_tool(Tool::new(
            "test_trigger_tool_change",
            "Adds a tool, or takes it away again.",
            async move |_: &Call, _: NoArguments| toggle_tool(&tools),
        ))
        .with_tool(Tool::new(
            "test_trigger_prompt_change",
            "Adds a prompt, or takes it away again.",
            async move |_: &Call, _: NoArguments| toggle_prompt(&prompts),
        ))
        .with_tool(Tool::new(
            "test_trigger_resource_change",
            "Tells that the watched resource has changed.",
            async move |_: &Call, _: NoArguments| {
                resources.resource_updated("test://watched-resource")?;
                Ok("reported")
            },
        ))
}

fn toggle_tool(handle: &ServerHandle) -> Result<&'static str, CallError> {
    const NAME: &str = "test_dynamic_tool";
    if handle.remove_tool(NAME)? {
        return Ok("removed a tool");
    }
    handle.add_tool(Tool::new(
        NAME,
        "Comes and goes.",
        async |_: &Call, _: NoArguments| Ok("here for now"),
    ))?;
    Ok("added a tool")
}

fn toggle_prompt(handle: &ServerHandle) -> Result<&'static str, CallError> {
    const NAME: &str = "test_dynamic_prompt";
    if handle.remove_prompt(NAME)? {
        return Ok("removed a prompt");
    }
    handle.add_prompt(Prompt::new(
        NAME,
        "Comes and goes.",
        async |_: &Call, _: NoArguments| Ok("Here for now."),
    ))?;
    Ok("added a prompt")
}
