"""The records that travel between the parts.

Shape letters, here and everywhere: B batch, C latent channels, F latent frames, H W latent height and width, P pixel
frames, K taps. Tokens: N of the DiT, T of text, I of images. D is the width.
"""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EditTriplet:
    """One supervised edit, as read from a corpus."""

    id: str
    instruction: str
    source: Image.Image  # RGB
    edit: Image.Image  # RGB, same size
    task: str = ""  # one of v4e.language.tasks.TASKS, or "" where the corpus does not say


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All that is frozen about one triplet: a row of the store. Latents are normalised (mean 0, std 1)."""

    id: str
    task: str
    z_i2v_CFHW: Tensor  # encode [source, 0 ...]: the student's condition; its frame 0 is the source's latent
    z_flf_CFHW: Tensor  # encode [source, 0 ..., edit]: the teacher's condition
    z_tail_CHW: Tensor  # Eq. 4's target: last latent of [source or edit, edit x 4 ...]
    instruction_TD: Tensor  # text encoder states, pad tokens removed
    evolution_TD: Tensor
    source_ID: Tensor  # CLIP states of the source, penultimate layer
    edit_ID: Tensor


@dataclass(frozen=True, kw_only=True)
class TargetRequest:
    """All that a teacher needs to know: a target is a pure function of it."""

    sample_ids: tuple[str, ...]  # B of them: one forward
    seeds: tuple[int, ...]  # of the noise, one a sample: v4e.method.flow.draw(seed) gives (t, eps)
    x_t: bytes = b""  # the student's own states of the first samples, bfloat16 (n, C, F, H, W); rollouts for the rest
    t: float = 0.0  # of these states
    shown: tuple[str, ...] = ()  # the samples whose edits the teacher is shown in place of the first samples' own


@dataclass(frozen=True, kw_only=True)
class TeacherTarget:
    """A teacher's answer to one request."""

    taps_KBND: Tensor  # hidden states after each tapped block
