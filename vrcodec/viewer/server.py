"""A small web server on this machine's loopback.

Whoever does not know the token in the URL gets nothing: other users of the machine, and pages of other sites
in the same browser. A page whose own name was made to point here (DNS rebinding) gets nothing, either, since
it asks for another host.
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
# A tunnel from another machine may have another port.
_HOSTS = (_ADDRESS, "localhost")
_TOKEN_BYTES = 16
# For a request to arrive.
_SECONDS = 30
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
    """What a path stands for. ``make``: its bytes, asked for anew every time; may raise VrcError."""

    kind: str
    make: Callable[[], bytes]


@contextmanager
def serving(resources: Mapping[str, Resource], port: int = 0) -> Iterator[str]:
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
    # A port that was named can be had again at once.
    allow_reuse_address = True
    prefix: str
    resources: Mapping[str, Resource]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # One picture at a time: each takes memory.
        self.lock = threading.Lock()

    def find(self, path: str) -> Resource | None:
        """What there is at a path, for those who know the token."""
        begin, name = path[: len(self.prefix)], path[len(self.prefix) :]
        if not hmac.compare_digest(begin.encode(), self.prefix.encode()):
            return None
        return self.resources.get(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone away is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].partition(":")[0] not in _HOSTS:
            self._say(HTTPStatus.FORBIDDEN)
            return
        resource = self.server.find(self.path)
        if resource is None:
            self._say(HTTPStatus.NOT_FOUND)
            return
        try:
            with self.server.lock:
                body = resource.make()
        except VrcError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        self._answer(HTTPStatus.OK, resource.kind, body)

    def _say(self, status: HTTPStatus, words: str = "") -> None:
        self._answer(status, "text/plain; charset=utf-8", (words or status.phrase).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """What every answer says of us: nothing of versions."""
        return "vrcodec"

    def log_message(self, *arguments: object) -> None:
        """Nobody wants to read this."""
