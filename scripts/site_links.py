"""A hook of mkdocs: files of the repository that pages link to become files of the site.

A link from docs/ to a file outside it, such as ``../serve/settings.py``, works on a code host and leads nowhere on a
site. The file is copied below ``repository/`` and the link is changed. A link to no file is left for mkdocs to refuse.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"(\]\(|href=\"|src=\")([^)\"#\s]+)")


def outside(target: str, page: str, docs: Path) -> str | None:
    """Path in the repository of a link's target, None if it lies in docs/ or is no file."""
    path = posixpath.normpath(posixpath.join(docs.name, posixpath.dirname(page), target))
    inside = path.startswith(f"{docs.name}/") or path.startswith("..") or "://" in target
    return None if inside or not (docs.parent / path).is_file() else path


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside docs/ that pages link to."""
    docs = Path(config["docs_dir"])
    for page in files.documentation_pages():
        for _, target in LINK.findall(page.content_string):
            path = outside(target, page.src_uri, docs)
            name = f"repository/{path}.txt"
            if path is not None and files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(docs.parent / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Point links that leave docs/ at the copies."""
    docs, here = Path(config["docs_dir"]), page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        path = outside(found[2], here, docs)
        if path is None:
            return found[0]
        return found[1] + posixpath.relpath(f"repository/{path}.txt", posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)
