// The part of a browser in the authorization code flow: follows redirects, keeps cookies, and sends
// each form that it is shown, for the user "ann".

const STEPS_MAX = 20;

// Opens the URL of an authorization request, and returns the parameters that the server sends to
// the redirect URI.
export async function authorize(url, redirectUri) {
  const cookies = new Map();
  let request = { url: new URL(url), method: "GET" };
  for (let step = 0; step < STEPS_MAX; step++) {
    const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") };
    const { method, body } = request;
    const response = await fetch(request.url, { method, body, headers, redirect: "manual" });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      cookies.set(name, value);
    }
    const text = await response.text();
    const location = response.headers.get("location");
    if (location?.startsWith(redirectUri)) {
      return new URL(location).searchParams;
    }
    request = location
      ? { url: new URL(location, request.url), method: "GET" }
      : form(text, request.url);
  }
  throw new Error(`no redirect to the client in ${STEPS_MAX} steps`);
}

function form(page, base) {
  const action = /<form[^>]*action="([^"]+)"/.exec(page);
  if (!action) {
    throw new Error(`no form at ${base}: ${page}`);
  }
  const body = new URLSearchParams({ login: "ann", password: "any" });
  for (const [, name, value] of page.matchAll(/name="([^"]+)" value="([^"]*)"/g)) {
    body.set(name, value);
  }
  return { url: new URL(action[1], base), method: "POST", body };
}
