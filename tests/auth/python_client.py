"""A client in Python that is authorized:

    python python_client.py CLIENT REVISION URL [CLIENT_ID]

CLIENT is "sdk-1" or "sdk-2", the official SDK, or "fastmcp". Without CLIENT_ID it registers itself.

It prints the URLs that a browser opens, and reads those that the browser is sent back to. It
connects without a token, calls a tool, then one that needs more scopes, and then one with a token
that it refreshes, all in one session. The exit code is that of the first check that fails.
"""

import contextlib
import sys
import webbrowser
from urllib.parse import parse_qs, urlsplit

import anyio

REDIRECT_URI = "http://127.0.0.1/callback"


def open_page(url):
    print(url, flush=True)


def read_callback():
    query = parse_qs(urlsplit(sys.stdin.readline().strip()).query)
    return {name: values[0] for name, values in query.items()}


class Storage:
    """The tokens and the registration of one server."""

    def __init__(self, client_info):
        self.tokens, self.client_info = None, client_info

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


def sdk_provider(url, client_id, result_of):
    """The OAuth client of either SDK. They differ in what a callback returns."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

    fields = {
        "client_name": "flow",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
    }
    known = client_id and OAuthClientInformationFull(client_id=client_id, **fields)

    async def redirect(page):
        open_page(page)

    async def callback():
        return result_of(await anyio.to_thread.run_sync(read_callback))

    metadata = OAuthClientMetadata(**fields)
    return OAuthClientProvider(url, metadata, Storage(known), redirect, callback)


@contextlib.asynccontextmanager
async def sdk_1(url, _revision, client_id):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    auth = sdk_provider(url, client_id, lambda query: (query["code"], query["state"]))
    async with (
        streamablehttp_client(url, auth=auth) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        server = await session.initialize()
        yield session.call_tool, auth, server.protocolVersion


@contextlib.asynccontextmanager
async def sdk_2(url, revision, client_id):
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.auth import AuthorizationCodeResult

    auth = sdk_provider(url, client_id, AuthorizationCodeResult.model_validate)
    async with httpx2.AsyncClient(auth=auth) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode(revision)) as client:
            yield client.call_tool, auth, client.protocol_version


@contextlib.asynccontextmanager
async def fastmcp(url, revision, client_id):
    """It waits for the browser with a server of its own."""
    from fastmcp import Client
    from fastmcp.client.auth import OAuth

    auth = OAuth(client_id=client_id, callback_host="127.0.0.1")
    async with Client(url, auth=auth, mode=mode(revision)) as client:
        yield client.call_tool, auth, client.protocol_version


def mode(revision):
    return "auto" if revision == "2026-07-28" else "legacy"


class Browser(webbrowser.BaseBrowser):
    def open(self, url, new=0, autoraise=True):
        open_page(url)
        return True


async def main(name, revision, url, client_id=None):
    webbrowser.register("flow", None, Browser(), preferred=True)
    client = {"sdk-1": sdk_1, "sdk-2": sdk_2, "fastmcp": fastmcp}[name]
    async with client(url, revision, client_id) as (call_tool, auth, negotiated):
        assert negotiated == revision, negotiated

        async def text_of(tool, arguments):
            answer = await call_tool(tool, arguments)
            return answer.content[0].text

        assert await text_of("echo", {"message": "m"}) == "m"
        assert "simple text" in await text_of("test_simple_text", {})
        context = auth.context
        first = context.current_tokens
        assert first.refresh_token, first.scope
        # It believes that its token has expired.
        context.token_expiry_time = 1
        assert await text_of("echo", {"message": "refreshed"}) == "refreshed"
        assert context.current_tokens.access_token != first.access_token
        assert context.client_info.client_id == client_id or not client_id


anyio.run(main, *sys.argv[1:])
