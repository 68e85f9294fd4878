// A client of the TypeScript SDK as the parent of a server on standard input and output:
//     node typescript-stdio-client.mjs PROGRAM ARGUMENT...
// Goes through what a host does with a server in a session of 2025-11-25, and ends with the exit
// code of the first check that fails. What it saw is on standard output.
import assert from "node:assert/strict";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { runSession } from "./typescript-session.mjs";

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, stderr: "inherit" });
const client = await runSession(transport);

// Ends standard input and waits for the process, which it would kill after two seconds.
const pid = transport.pid;
await client.close();
assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
console.log("done");
