// A channel to a server: one JSON-RPC message on each line, or in each message of WebSocket.
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { connect as connectSecured } from "node:tls";

// Opens a channel to an address, or to a command, whose address is "stdio". `receive` gets the text of
// each message of the server, and `closed` is called at the end.
export function openChannel(address, command, { receive, closed }) {
  if (address.startsWith("ws")) {
    return overWebSocket(address, receive, closed);
  }
  const [input, output] = streams(address, command);
  // An error is followed by the end.
  input.on("error", () => {});
  output.on("error", () => {});
  output.on("close", closed);
  createInterface({ input: output }).on("line", receive);
  return { send: (text) => input.write(`${text}\n`), close: () => input.end() };
}

function streams(address, command) {
  if (address === "stdio") {
    const [program, ...programArguments] = command;
    const child = spawn(program, programArguments, { stdio: ["pipe", "pipe", "inherit"] });
    return [child.stdin, child.stdout];
  }
  const [scheme, place] = address.split("://");
  const socket = { tcp: connect, tcps: connectSecured, unix: connect }[scheme](
    scheme === "unix" ? { path: place } : { host: place.split(":")[0], port: place.split(":")[1] },
  );
  return [socket, socket];
}

function overWebSocket(address, receive, closed) {
  const socket = new WebSocket(`${address}/mcp`);
  const opened = new Promise((resolve) => socket.addEventListener("open", resolve));
  socket.addEventListener("message", ({ data }) => receive(data));
  socket.addEventListener("close", closed);
  // A handshake that fails is followed by nothing.
  socket.addEventListener("error", closed);
  return {
    send: (text) => opened.then(() => socket.send(text)),
    close: () => opened.then(() => socket.close()),
  };
}
