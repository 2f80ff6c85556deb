"""`/docs`: the API's own page, with nothing on it that another host serves."""

from __future__ import annotations

from importlib.resources import as_file, files

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse
from starlette.responses import Response

from trunkline.web.errors import not_found

router = APIRouter(include_in_schema=False)

# Swagger UI as this package carries it; FastAPI's own page has it loaded from elsewhere by whoever opens it.
_ASSETS = files("fastapi_offline") / "static"
_KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_CACHED = {"Cache-Control": "public, max-age=86400"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trunkline: admin API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# A file of its own, so that the page needs no leave for scripts within it.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""


@router.get("/docs")
async def show_docs() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def show_start() -> Response:
    """What sets the page up."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{asset}")
async def show_asset(asset: str) -> FileResponse:
    """A part of the page."""
    if asset not in _KINDS:
        raise not_found("File")
    with as_file(_ASSETS / asset) as path:
        return FileResponse(path, media_type=_KINDS[asset], headers=_CACHED)
