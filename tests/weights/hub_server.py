"""A hub of the tiny weights of tests/golden, and a web server for it, on loopback, that can misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conftest import GOLDEN
from vrcodec.catalog import Index, WeightsEntry, read_card
from vrcodec.weights.mirror import write_mirror


def golden_entry(family: str) -> WeightsEntry:
    """The tiny weights of a family."""
    return read_card(GOLDEN / f"{family}.json")


def make_hub(folder: Path, *families: str) -> Index:
    """A hub with tiny weights."""
    return write_mirror([golden_entry(family) for family in families], folder)


@dataclass
class Request:
    """What was asked for. ``start``: of the range, 0 without one."""

    name: str
    start: int


# Changes the status, the content, or how it is sent.
Trouble = Callable[["Handler", str, bytes], bool]


@dataclass
class HubServer:
    """``requests``: in the order in which they came. ``trouble``: is asked before each; True if it answered."""

    folder: Path
    address: str = ""
    requests: list[Request] = field(default_factory=list)
    trouble: Trouble | None = None
    ranges: bool = True


class Handler(BaseHTTPRequestHandler):
    """Sends files of the folder of a `HubServer`, from an offset on if that is asked for."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range", "bytes=0-") if self.hub.ranges else "bytes=0-"
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.hub.requests.append(Request(name, start))
        path = self.hub.folder / name
        data = path.read_bytes() if path.is_file() else None
        if self.hub.trouble and self.hub.trouble(self, name, data or b""):
            return
        if data is None:
            self.send_error(404)
        else:
            self.send(data, start)

    def send(self, data: bytes, start: int = 0, stop: int | None = None) -> None:
        """All of ``data`` from ``start`` on is promised; what is behind ``stop`` never comes."""
        if start > len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:stop])
        if stop is not None:
            self.wfile.flush()
            self.close_connection = True

    def promise(self, data: bytes) -> None:
        """Begin an answer of as many bytes as ``data`` has."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def redirect(self, place: str) -> None:
        """Send the reader elsewhere."""
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


@contextmanager
def serve(folder: Path) -> Iterator[HubServer]:
    """A server of a hub, for the time of the body."""
    hub = HubServer(folder)
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
