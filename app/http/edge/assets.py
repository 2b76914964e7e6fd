"""Static files of HTML pages: styles, scripts, pictures."""

import functools
from pathlib import Path

from flask import Response
from werkzeug.exceptions import NotFound

from app.http.edge import answers
from app.services.pages.whole_pages import WholePage, unversioned

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def asset(folder: Path, name: str) -> Response:
    """Answer with the file `name` of `folder`. Raises `NotFound` if there is none."""
    return answers.checked(_kept(folder, name), content_type=TYPES[Path(name).suffix])


@functools.cache
def _kept(folder: Path, name: str) -> WholePage:
    """The file, read once, and compressed once per coding on the first request for that coding."""
    if name not in {path.name for path in folder.iterdir()}:
        raise NotFound
    return unversioned((folder / name).read_bytes())
