"""The style sheet, the script and the icon."""

from importlib import resources

from fastapi import APIRouter, Response

from stream.api.problems import not_found

router = APIRouter(include_in_schema=False)

TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FILES = {name: (resources.files("stream.api.pages") / "static" / name).read_bytes() for name in TYPES}


@router.get("/static/{name}", response_class=Response)
async def file(name: str) -> Response:
    """A file; the browser asks again each time, since an upgrade may change it."""
    if name not in _FILES:
        raise not_found("There is no such file.")
    return Response(_FILES[name], headers={"Cache-Control": "no-cache"}, media_type=TYPES[name])
