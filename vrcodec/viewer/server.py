"""A small web server on this machine's loopback.

Requests without the token in the URL are refused: those of other users of the machine, and of other sites'
pages in the same browser. So are requests with another host name (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from vrcodec.errors import OutputError, VrcError

_ADDRESS = "127.0.0.1"
# Any port: a tunnel from another machine may have a different one.
_HOSTS = (_ADDRESS, "localhost")
_TOKEN_BYTES = 16
# For a request to arrive.
_TIMEOUT_SECONDS = 30
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Resource:
    """The content at a path. ``make``: called for the bytes at every request; may raise VrcError."""

    media_type: str
    make: Callable[[], bytes]


@contextmanager
def serve(resources: Mapping[str, Resource], port: int = 0) -> Iterator[str]:
    """Serve ``resources``, by their names below the token, until the context ends; yields the URL of "".

    ``port`` 0 is any free one. Raises OutputError when the port cannot be had.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        server = _Server((_ADDRESS, port), _Handler)
    except OSError as error:
        raise OutputError(f"cannot listen on port {port}: {error.strerror}") from error
    server.prefix, server.resources = f"/{token}/", resources
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://{_ADDRESS}:{server.server_address[1]}{server.prefix}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    # A port that was just closed can be bound again at once.
    allow_reuse_address = True
    prefix: str
    resources: Mapping[str, Resource]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Pictures are decoded one at a time, to save memory.
        self.lock = threading.Lock()

    def find(self, path: str) -> Resource | None:
        """The resource at a path; None where the token is wrong, or there is none."""
        prefix, name = path[: len(self.prefix)], path[len(self.prefix) :]
        if not hmac.compare_digest(prefix.encode(), self.prefix.encode()):
            return None
        return self.resources.get(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that has closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].partition(":")[0] not in _HOSTS:
            self._send_message(HTTPStatus.FORBIDDEN)
            return
        resource = self.server.find(self.path)
        if resource is None:
            self._send_message(HTTPStatus.NOT_FOUND)
            return
        try:
            with self.server.lock:
                body = resource.make()
        except VrcError as error:
            self._send_message(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        self._send(HTTPStatus.OK, resource.media_type, body)

    def _send_message(self, status: HTTPStatus, message: str = "") -> None:
        self._send(status, "text/plain; charset=utf-8", (message or status.phrase).encode())

    def _send(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """The Server header, without versions."""
        return "vrcodec"

    def log_message(self, *arguments: object) -> None:
        """Requests are not logged."""
