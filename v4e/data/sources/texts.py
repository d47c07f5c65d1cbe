"""An instruction as a person meant it, out of what exports, chat formats and web pages made of it."""

import html
import re

MARKS = re.compile(  # where a chat format puts the picture
    r"<\|?/?(?:image|img|image_?here|image_?pad|video|vision_start|vision_end|image_start|image_end)(?:_?\d+)?\s*/?\|?>",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\u200b\u2060]")


def clean(text: str) -> str:
    """Returns `text` with HTML's entities decoded, without control characters and marks of a chat format's pictures."""
    decoded = html.unescape(html.unescape(text))  # some exports encode twice
    return MARKS.sub(" ", HIDDEN.sub("", decoded)).strip()


def phrasing(value: object) -> str:
    """Returns the first phrasing of a list that says something, or the only one; "" where none does."""
    found = (clean(str(one)) for one in (value if isinstance(value, list) else [value]) if one is not None)
    return next((text for text in found if text), "")
