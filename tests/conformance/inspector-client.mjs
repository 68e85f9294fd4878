// The command line of the MCP Inspector:
//     node inspector-client.mjs ERA URL
//     node inspector-client.mjs ERA stdio PROGRAM ARGUMENT...
// With ERA "modern" it speaks revision 2026-07-28, with "legacy" it has a session of 2025-11-25. Each
// command is a process, and so is a client of its own. Ends with the exit code of the first check that
// fails. Its results are on standard output.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const [era, ...address] = process.argv.slice(2);
const inspector = fileURLToPath(
  new URL(
    "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
    import.meta.url,
  ),
);
const target = address[0] === "stdio" ? address.slice(1) : address;
const IS_ERROR = 5;

// Runs a command and gives its result.
function inspect(method, options = [], exitCode = 0) {
  const args = [...target, "--protocol-era", era, "--method", method, ...options];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [inspector, "--cli", ...args], (error, output, complaints) => {
      if ((error?.code ?? 0) !== exitCode) {
        return reject(new Error(`${method} ended with ${error?.code}: ${output}${complaints}`));
      }
      resolve(JSON.parse(output));
    });
  });
}

const call = (tool, options, exitCode) =>
  inspect("tools/call", ["--tool-name", tool, ...options], exitCode);

const { tools } = await inspect("tools/list");
assert.ok(tools.some((tool) => tool.name === "echo"));
const sum = await call("add", ["--tool-arg", "a=2", "b=3"]);
assert.equal(sum.content[0].text, "5");
const failed = await call("test_error_handling", [], IS_ERROR);
assert.match(failed.content[0].text, /intentionally/);
const resource = await inspect("resources/read", ["--uri", "test://static-text"]);
assert.match(resource.contents[0].text, /static text resource/);
const prompt = await inspect("prompts/get", [
  ...["--prompt-name", "test_prompt_with_arguments"],
  ...["--prompt-args", "arg1=one", "arg2=two"],
]);
assert.match(prompt.messages[0].content.text, /arg1='one', arg2='two'/);
console.log("done");
