"""The web page, and the page of the API's description. No path from a request is ever opened."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from serve.api.docs import page
from serve.errors import not_found
from v4e.weights import student

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".png": "image/png"}
FOLDERS = Path(__file__).resolve().parents[1] / "page", student.FOLDER  # the latter's pictures are examples
FILES = {file.name: file.read_bytes() for folder in FOLDERS for file in folder.iterdir() if file.suffix in KINDS}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(page(request.app.openapi()))


@router.get("/")
async def index() -> Response:
    return await page_file("index.html")


@router.get("/page/{name}")
async def page_file(name: str) -> Response:
    if name not in FILES:
        raise not_found(f"There is no {name[:64]!r}.")
    return Response(FILES[name], media_type=KINDS[Path(name).suffix])
