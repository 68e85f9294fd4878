// The answers to requests without a valid credential: the status, the whole challenge and the whole
// body, in both eras.
import assert from "node:assert/strict";
import { request } from "node:http";

const TOKEN_BYTES_MAX = 8192;

// Sends each row to the endpoint at `url`.
export async function checkRefusals(url) {
  const endpoint = new URL(url);
  const metadata = `${endpoint.origin}/.well-known/oauth-protected-resource${endpoint.pathname}`;
  const place = `resource_metadata="${metadata}"`;
  const required = [401, `Bearer ${place}, scope="mcp:read"`, "an access token is required"];
  const described = (error, text) =>
    `Bearer error="${error}", error_description="${text}", ${place}`;
  const invalid = (text) => [401, `${described("invalid_token", text)}, scope="mcp:read"`, text];
  const malformed = (text) => [400, described("invalid_request", text), text];
  const rows = [
    [[], "", required],
    [["Basic YTpi"], "", required],
    [["DPoP abc"], "", required],
    [["Bearer abc"], "", invalid("the access token is not valid here")],
    [["bearer a.b.c"], "", invalid("the access token is not valid here")],
    [["Bearer a", "Bearer a"], "", malformed("two Authorization fields")],
    [["Bearer "], "", malformed("the access token is empty")],
    [[`Bearer ${"a".repeat(TOKEN_BYTES_MAX + 1)}`], "", malformed("the access token is too long")],
    [[], "?access_token=a", malformed("the access token must not be in the query")],
  ];
  for (const [credentials, query, [status, challenge, message]] of rows) {
    for (const revision of ["2025-11-25", "2026-07-28"]) {
      const found = await post(url + query, credentials, revision);
      const body = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"${message}"}}`;
      assert.deepEqual(found, { status, challenge, body }, `${credentials} ${query} ${revision}`);
    }
  }
}

function post(url, credentials, revision) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });
  const headers = {
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    "content-length": body.length,
    "mcp-protocol-version": revision,
    ...(credentials.length > 0 && { authorization: credentials }),
  };
  // Node joins the fields of an object, and takes repeated ones of a list.
  const list = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => [name, String(one)]),
  );
  return new Promise((resolve, reject) => {
    const host = ["host", new URL(url).host];
    const sent = request(url, { method: "POST", headers: [...host, ...list] }, async (response) => {
      const text = (await response.setEncoding("utf8").toArray()).join("");
      const challenge = response.headers["www-authenticate"];
      resolve({ status: response.statusCode, challenge, body: text });
    });
    sent.on("error", reject).end(body);
  });
}
