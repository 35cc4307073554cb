"""Places that files of weights come from: web servers, folders, and what fsspec knows."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPMessage
from typing import IO, cast
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, url2pathname

from vrcodec import __version__
from vrcodec.errors import VrcError, WeightsError
from vrcodec.extras import require

# Seconds without a byte after which a server counts as gone.
STALL_SECONDS = 30.0

_PIECE_BYTES = 1 << 18
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-")
_RANGE_NOT_SATISFIABLE = 416
_NOT_THERE = (401, 403, 404, 410)


class NotThereError(WeightsError):
    """The place can be reached, and has no such file."""


class BrokenOffError(WeightsError):
    """The place cannot be reached, or broke off: another try may succeed."""


def scheme_of(place: str) -> str:
    """Such as https, in small letters; empty for the path of a file or folder."""
    match = _SCHEME.match(place)
    return match["scheme"].lower() if match else ""


def is_remote(place: str) -> bool:
    """Whether ``place`` is an address on a web server."""
    return scheme_of(place) in ("http", "https")


def join(folder: str, name: str) -> str:
    """The place of a file called ``name`` in a folder."""
    if not scheme_of(folder):
        return os.path.join(folder, name)
    return folder.rstrip("/") + "/" + quote(name)


def read_from(place: str, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The pieces of the file at ``place`` from ``offset`` on, each with where it begins.

    The first may begin at 0: not every place can start elsewhere. Raises NotThereError, BrokenOffError, or
    another WeightsError where the place is refused.
    """
    try:
        start, stream = _open(place, offset)
        with stream:
            # What has come so far, where the stream can tell: the rest may never come.
            read = getattr(stream, "read1", stream.read)
            while piece := read(_PIECE_BYTES):
                yield start, piece
                start += len(piece)
    except VrcError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThereError(f"{place}: is not there") from error
    except (OSError, HTTPException, ValueError) as error:
        # The reason of an URLError is another error, or text.
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise BrokenOffError(f"{place}: cannot be read: {reason}") from error


def _open(place: str, offset: int) -> tuple[int, IO[bytes]]:
    scheme = scheme_of(place)
    if scheme in ("http", "https"):
        return _open_http(place, offset)
    if scheme in ("", "file"):
        path = url2pathname(urlsplit(place).path) if scheme else place
        return _seek(open(path, "rb"), offset)
    require("fsspec", "remote", f"{scheme}://")
    import fsspec

    try:
        return _seek(fsspec.open(place, "rb").open(), offset)
    except OSError:
        raise
    except Exception as error:
        # Each of the packages behind fsspec has its own errors.
        raise WeightsError(f"{place}: cannot be read: {error}") from error


def _seek(stream: IO[bytes], offset: int) -> tuple[int, IO[bytes]]:
    return stream.seek(offset), stream


def _open_http(place: str, offset: int) -> tuple[int, IO[bytes]]:
    check_address(place)
    headers = {"User-Agent": f"vrcodec/{__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    opener = urllib.request.build_opener(_CheckedRedirects)
    try:
        response = opener.open(Request(place, headers=headers), timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _RANGE_NOT_SATISFIABLE and offset:
            return _open_http(place, 0)
        kind = NotThereError if error.code in _NOT_THERE else BrokenOffError
        raise kind(f"{place}: cannot be read: {error}") from error
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return int(match["start"]) if match else 0, cast("IO[bytes]", response)


def check_address(address: str) -> None:
    """Raise WeightsError for an address on the web that nothing is fetched from: one that is not encrypted."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise WeightsError(
            f"{address}: only https is fetched from, and http from this machine itself"
        )


def _is_loopback(host: str | None) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host or "").is_loopback
    return host == "localhost"


class _CheckedRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        check_address(newurl)
        if _leaves_encryption(req.full_url, newurl):
            raise WeightsError(f"{req.full_url}: leads to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _leaves_encryption(old: str, new: str) -> bool:
    return scheme_of(old) == "https" and scheme_of(new) != "https"
