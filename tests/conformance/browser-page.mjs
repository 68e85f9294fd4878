// A page that uses an MCP server on another origin with the TypeScript SDK, in headless Chromium:
//     node browser-page.mjs
// Prints the origin of the page, reads the origin of the server from standard input, and prints
// "done", or else the first failure in the page.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const bundle = await build({
  entryPoints: [join(here, "browser-client.mjs")],
  bundle: true,
  format: "esm",
  write: false,
});
let finish;
const finished = new Promise((resolve) => {
  finish = resolve;
});
const page = createServer((request, response) => {
  if (request.method === "POST") {
    let text = "";
    request.on("data", (data) => (text += data));
    request.on("end", () => {
      response.end();
      finish(text);
    });
  } else if (request.url === "/client.js") {
    response.setHeader("Content-Type", "text/javascript");
    response.end(bundle.outputFiles[0].text);
  } else {
    response.setHeader("Content-Type", "text/html");
    response.end('<script type="module" src="/client.js"></script>');
  }
});
await new Promise((resolve) => page.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${page.address().port}`;
console.log(origin);
const server = await createInterface({ input: process.stdin }).question("");

const profile = mkdtempSync(join(tmpdir(), "browser-"));
const browser = spawn(
  "chromium",
  [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    `--user-data-dir=${profile}`,
    `${origin}/?server=${encodeURIComponent(server)}`,
  ],
  { stdio: "ignore" },
);
browser.on("error", (error) => finish(`chromium: ${error.message}`));
browser.on("exit", (code) => finish(`chromium ended with ${code}`));
const timer = setTimeout(() => finish("nothing happened in the page for 50 s"), 50_000);
const result = await finished;
clearTimeout(timer);
console.log(result);
const gone = new Promise((resolve) => browser.on("exit", resolve));
browser.kill();
await gone;
page.close();
page.closeAllConnections();
try {
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
} catch {
  // Other processes of the browser may still write to it.
}
process.exit(result === "done" ? 0 : 1);
