"""Several turns on one picture: what a turn does not change is carried on to the bit."""

from dataclasses import dataclass, field, replace

from PIL import Image

from v4e.editing.editor import Editor
from v4e.editing.finish import Edit
from v4e.editing.settings import EditSettings


@dataclass(frozen=True, kw_only=True)
class Session:
    """A picture and the edits made of it so far. A turn makes a new session, so the old one is the way back.

    Each turn begins with the picture that the last one ended in, at full size. Outside of the turn's region its pixels
    stay as they are. Pixels that no turn changed are those of the first picture. A part passes through the VAE
    only in the turns that change it.
    """

    editor: Editor
    first: Image.Image
    settings: EditSettings
    turns: tuple[Edit, ...] = field(default=())

    @property
    def picture(self) -> Image.Image:
        """The picture now."""
        return self.turns[-1].image if self.turns else self.first

    def edited(self, instruction: str, seed: int = 0, mask: Image.Image | None = None) -> "Session":
        """Returns the session after one more turn.

        Raises:
            ValueError: as :meth:`Editor.edit` does.
        """
        settings = replace(self.settings, preserve="auto")
        [edit] = self.editor.edit([self.picture], [instruction], [seed], settings, masks=mask and [mask])
        return replace(self, turns=(*self.turns, edit))
