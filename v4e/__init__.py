"""v4e: an image editor made from a pretrained video model.

``from v4e import Editor, EditSettings`` is the public face; it is imported at the first use, since torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v4e.editing.editor import Edit, Editor
    from v4e.editing.inexact import Inexact
    from v4e.editing.settings import EditSettings

__all__ = ["Edit", "EditSettings", "Editor", "Inexact"]
HOMES = {
    "Edit": "v4e.editing.editor",
    "Editor": "v4e.editing.editor",
    "EditSettings": "v4e.editing.settings",
    "Inexact": "v4e.editing.inexact",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'v4e' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
