"""Encodings by the content that they are of, least recently used out first."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image
from torch import Tensor

Content = str | Image.Image


class ContentCache:
    """Holds up to `max_bytes` of tensors. What comes out is what went in: nobody may write to it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.hits = self.misses = 0
        self._held: OrderedDict[bytes, Tensor] = OrderedDict()

    def get(self, what: str, *content: Content, make: Callable[[], Tensor]) -> Tensor:
        """The encoding of `content`, made where it is not held. `what` names the encoder and all its settings."""
        key = _digest(what, content)
        if key in self._held:
            self.hits += 1
            self._held.move_to_end(key)
            return self._held[key]
        self.misses += 1
        made = make()
        if made.nbytes > self.max_bytes:
            return made
        self._held[key] = made
        self.bytes += made.nbytes
        while self.bytes > self.max_bytes:
            _, dropped = self._held.popitem(last=False)
            self.bytes -= dropped.nbytes
        return made


def _digest(what: str, content: tuple[Content, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (what, *content):
        text = part if isinstance(part, str) else f"{part.mode}/{part.size}"
        blob = text.encode("utf-8", "surrogatepass") + (b"" if isinstance(part, str) else part.tobytes())
        digest.update(len(blob).to_bytes(8) + blob)  # lengths, so that no two lists of parts read the same
    return digest.digest()
