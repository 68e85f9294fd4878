"""A FastMCP proxy, as its documentation shows it: fastmcp_proxy.py UPSTREAM_URL PORT."""

import sys

from fastmcp.server import create_proxy

if __name__ == "__main__":
    upstream, port = sys.argv[1:]
    proxy = create_proxy(upstream, name="proxy")
    proxy.run(
        transport="http",
        host="127.0.0.1",
        port=int(port),
        log_level="error",
        show_banner=False,
    )
