// The authorization server of the tests, on loopback: oidc-provider, which is certified by the
// OpenID Foundation.
//     JWKS='{"keys":[...]}' node authorization_server.mjs PORT
// With port 0 it takes a free one. It prints its issuer when it is ready. Any user may log in with
// any password. Clients register themselves, or are known as "app" or "app-without-refresh". A
// start with another JWKS rotates its keys.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const SCOPES = ["mcp:read", "mcp:write", "mcp:admin"];
const server = createServer();
await new Promise((ready) => server.listen(Number(process.argv[2]), "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  jwks: JSON.parse(process.env.JWKS),
  scopes: ["openid", "offline_access", ...SCOPES],
  clients: [
    {
      client_id: "m2m",
      client_secret: "m2m-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: "app",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: ["http://127.0.0.1/callback"],
    },
    {
      client_id: "app-without-refresh",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code"],
      redirect_uris: ["http://127.0.0.1/callback"],
    },
  ],
  issueRefreshToken: async (_context, client) => client.grantTypeAllowed("refresh_token"),
  // A client that registered with the scope of its first challenge may get more later: the server
  // may replace what a client registers (RFC 7591 3.2.1).
  extraClientMetadata: {
    properties: ["registered_scope"],
    validator(_context, _key, _value, metadata) {
      metadata.scope = ["offline_access", ...SCOPES].join(" ");
    },
  },
  async findAccount(_context, id) {
    return { accountId: id, claims: async () => ({ sub: id }) };
  },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, audience) => ({
        scope: SCOPES.join(" "),
        audience,
        accessTokenTTL: 60,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});
// RFC 6749 5.1 has this header beside Cache-Control, which alone is sent.
provider.use(async (context, next) => {
  await next();
  context.set("pragma", "no-cache");
});
server.on("request", provider.callback());
console.log(issuer);
