"""The memory of the frozen parts on a GPU: of an editor, of encoders, and of Eq. 4 in pixels. Arithmetic alone.

Sizes are those of Wan2.1's VAE, UMT5-XXL and CLIP ViT-H; the tiny family's are smaller.
"""

from dataclasses import dataclass

from v4e.config import Config
from v4e.models.sizes import DitSizes
from v4e.planning.memory import BYTES, EXACT, StudentMemory, parameter_count, token_bytes
from v4e.planning.vae_memory import DECODE, DECODE_BY_FRAME, ENCODE, ENCODE_BY_FRAME, VAE_BYTES
from v4e.planning.work import Reads
from v4e.wan import vae_clips

TEXT, IMAGE = 5_680_910_336, 630_766_080  # parameters
IMAGE_STATES = 33 * 257 * 1280 * EXACT  # bytes of an image: CLIP gives the states of all its layers
CACHE = 256 << 20  # bytes of encoded sources and texts that an editor keeps


@dataclass(frozen=True, kw_only=True)
class FrozenMemory:
    """Bytes of a GPU whose models are not trained."""

    weights: int
    activations: int  # and whatever else is there at the peak

    @property
    def total(self) -> int:
        return self.weights + self.activations


def editor_memory(config: Config, dit: DitSizes, reads: Reads, *, image_tokens: int) -> FrozenMemory:
    """Returns the memory of a GPU that edits, with all models on it.

    It edits ``eval.batch`` pictures together, as evaluation does.
    """
    size, data, batch = BYTES[config.models.dtype], config.data, config.eval.batch
    pixels = data.height, data.width, data.frames
    clips = min(batch, vae_clips(data.height * data.width * data.frames))
    weights = size * (parameter_count(dit, image_tokens) + TEXT) + EXACT * IMAGE + VAE_BYTES
    step = batch * token_bytes(config, dit, tp=1) * reads.clip
    held = max(step, clips * DECODE_BY_FRAME.of(*pixels), ENCODE_BY_FRAME.of(*pixels))
    return FrozenMemory(weights=weights, activations=CACHE + held)


def encoder_memory(config: Config) -> FrozenMemory:
    """Returns the memory of a GPU that encodes the corpus."""
    data, batch = config.data, config.precompute.batch
    clips = min(batch, vae_clips(data.height * data.width * data.frames))
    weights = BYTES[config.models.dtype] * TEXT + EXACT * IMAGE + VAE_BYTES
    held = max(clips * ENCODE.of(data.height, data.width, data.frames), batch * IMAGE_STATES)
    return FrozenMemory(weights=weights, activations=held)


def strips_bytes(config: Config, memory: StudentMemory) -> int:
    """Returns what the strips of a run hold on a training GPU beside its steps.

    That is their VAE, and what it holds of a clip beyond what a step holds in passing.
    """
    if config.watch.samples_every == 0:
        return 0
    data, passing = config.data, memory.gradients + memory.whole + memory.activations
    return VAE_BYTES + max(0, DECODE.of(data.height, data.width, data.frames) - passing)
