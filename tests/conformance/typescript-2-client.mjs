// A client of the TypeScript SDK 2 over the transport of its address: HTTP+SSE (a path that ends with
// /sse), Streamable HTTP, or the standard input and output of a program that it starts:
//     node typescript-2-client.mjs ERA URL
//     node typescript-2-client.mjs ERA stdio PROGRAM ARGUMENT...
// With ERA "modern" it speaks revision 2026-07-28 where the transport has it, and has a session of
// 2025-11-25 otherwise, as with ERA "legacy". Goes through what a host does with a server, and ends with
// the exit code of the first check that fails. Its results are on standard output.
import { SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { runSession } from "./typescript-2-session.mjs";

const [era, address, command, ...args] = process.argv.slice(2);

function open() {
  if (address === "stdio") {
    return new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
  }
  const Transport = address.endsWith("/sse") ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Transport(new URL(address));
}

await runSession(open(), era);
console.log("done");
