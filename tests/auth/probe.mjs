// The probe of PyPI, testmcpy-oauth: it finds the authorization server, gets a token by client
// credentials, and lists the tools with it, in each revision that it has.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const REVISIONS = ["2025-03-26", "2025-06-18", "2025-11-25"];

// Runs `program` on the endpoint at `url`. Its manifest and its report are written to `folder`.
export function checkProbe(program, folder, issuer, url) {
  const target = (revision) => ({
    mcp_url: url,
    spec_profile: `mcp-${revision}`,
    allow_http_loopback: true,
    oauth: {
      flow: "client_credentials",
      client_id: "m2m",
      client_secret: { env: "M2M_SECRET" },
      client_auth_method: "client_secret_basic",
      scopes: ["mcp:read"],
      resource: url,
    },
    expectations: {
      issuers: [issuer],
      token_issuers: [issuer],
      resources: [url],
      audiences: [url],
      scopes: ["mcp:read"],
      min_tools: 1,
    },
  });
  const targets = Object.fromEntries(REVISIONS.map((it) => [it, target(it)]));
  const manifest = join(folder, "probe.json");
  writeFileSync(manifest, JSON.stringify({ schema: "testmcpy.io/oauth-smoke/v1", targets }));
  const env = { ...process.env, M2M_SECRET: "m2m-secret" };
  const found = spawnSync(program, ["check", "--config", manifest], { env, encoding: "utf8" });
  assert.equal(found.status, 0, found.stdout + found.stderr);
}
