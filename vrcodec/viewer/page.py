"""The resources of `vrcodec view`: the page, its script, its style, and the images."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from vrcodec import web
from vrcodec.viewer.images import PageImage
from vrcodec.viewer.server import Resource


def build_resources(
    name: str, fields: Mapping[str, str], images: Sequence[PageImage], width: int, height: int
) -> dict[str, Resource]:
    """By path: the page itself at "", its script, its style, and the images.

    ``fields``: labels and values that describe the file called ``name``. ``width``, ``height``: of every image,
    in pixels.
    """
    data = {
        "width": width,
        "height": height,
        "views": [
            {"uri": image.name, "title": image.title, "bytes": image.needed_bytes}
            for image in images
        ],
    }
    parts = {
        "TITLE": html.escape(name),
        "HEADING": html.escape(name),
        "FIELDS": "".join(map(_table_row, fields, fields.values())),
        "DATA": web.script_json(data),
    }
    page = web.fill_template(web.read_resource(__package__, "view.html"), parts)
    script = web.read_shared(web.SCRIPT) + web.read_resource(__package__, "view.js")
    style = web.read_shared(web.STYLE) + web.read_resource(__package__, "view.css")
    return {
        "": Resource("text/html; charset=utf-8", _static(page)),
        "view.js": Resource("text/javascript; charset=utf-8", _static(script)),
        "view.css": Resource("text/css; charset=utf-8", _static(style)),
        "icon.svg": Resource("image/svg+xml", _static(web.read_resource(__package__, "icon.svg"))),
        **{image.name: Resource("image/png", image.encode_png) for image in images},
    }


def _table_row(name: str, value: str) -> str:
    return f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'


def _static(content: str) -> Callable[[], bytes]:
    # The file's name may hold bytes that are no valid text.
    data = content.encode("utf-8", "replace")
    return lambda: data
