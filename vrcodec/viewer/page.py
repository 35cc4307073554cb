"""The page of `vrcodec view`, and everything that it asks for."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from vrcodec import web
from vrcodec.viewer.gallery import View
from vrcodec.viewer.server import Resource


def resources(
    name: str, fields: Mapping[str, str], views: Sequence[View], width: int, height: int
) -> dict[str, Resource]:
    """By path: the page itself at "", its script, its style, and the pictures.

    ``fields``: what to say of the file called ``name``. ``width``, ``height``: of every view, in pixels.
    """
    data = {
        "width": width,
        "height": height,
        "views": [{"uri": view.name, "title": view.title} for view in views],
    }
    parts = {
        "TITLE": html.escape(name),
        "HEADING": html.escape(name),
        "FIELDS": "".join(map(_row, fields, fields.values())),
        "DATA": web.embedded(data),
    }
    page = web.filled(web.part(__package__, "view.html"), parts)
    script = web.shared(web.SCRIPT) + web.part(__package__, "view.js")
    style = web.shared(web.STYLE) + web.part(__package__, "view.css")
    return {
        "": Resource("text/html; charset=utf-8", _text(page)),
        "view.js": Resource("text/javascript; charset=utf-8", _text(script)),
        "view.css": Resource("text/css; charset=utf-8", _text(style)),
        "icon.svg": Resource("image/svg+xml", _text(web.part(__package__, "icon.svg"))),
        **{view.name: Resource("image/png", view.png) for view in views},
    }


def _row(name: str, value: str) -> str:
    return f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'


def _text(content: str) -> Callable[[], bytes]:
    # A file's name may hold bytes that are no text.
    data = content.encode("utf-8", "replace")
    return lambda: data
