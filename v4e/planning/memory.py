"""The memory of a rank of the student's training: arithmetic alone, no weights, no torch, no Ray.

Shape letters: B batch, N DiT tokens, D width, T text tokens, I image tokens, K taps.
"""

import math
from dataclasses import dataclass

from v4e.config import Config, Lora
from v4e.models.sizes import DitSizes
from v4e.planning.vae_memory import IN_PIXELS, VAE_BYTES
from v4e.planning.work import Reads
from v4e.wan import vae_clips

EXACT = 4  # bytes of a float32 number
BYTES = {"float32": 4, "bfloat16": 2}
OFFLOADED = {
    "none": (),
    "optimizer": ("moments",),
    "all": ("weights", "gradients", "moments", "ema"),
}


@dataclass(frozen=True, kw_only=True)
class StudentMemory:
    """Bytes of one rank at the peak of a step.

    A backward frees activations as it makes gradients, so the peak is at its beginning or at its end, whichever is
    higher: without the gradients, unless those of earlier forwards wait there, or with what one block's activations are
    more than its gradients. With ``tail.space=pixel`` it may come before: while the loss decodes and encodes.
    """

    weights: int  # of its shard: float32 masters, of a LoRA run also the frozen base in what it computes in
    gradients: int  # of its shard, in float32
    moments: int  # AdamW's two
    ema: int
    whole: int  # parameters and gradients of blocks in flight, unsharded; all gradients where several forwards add up
    activations: int
    vae: int  # its weights, where the tail is compared in pixels

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.ema + self.whole + self.activations + self.vae

    def in_host_memory(self, offload: str) -> int:
        """Returns the bytes that ``train.offload`` keeps off the device."""
        return sum(getattr(self, part) for part in OFFLOADED[offload])


def student_memory(config: Config, dit: DitSizes, reads: Reads, *, workers: int, image_tokens: int) -> StudentMemory:
    """Returns the memory of one of `workers` ranks that trains a student of sizes `dit` on samples of the tokens
    `reads`.

    `image_tokens` are those of one image: an FLF2V model has an embedding for each of two images' tokens. Activations
    of a LoRA run are planned like a full one's.
    """
    parameters, shards = parameter_count(dit, image_tokens), config.train.shard or workers
    trained, frozen = (adapter_parameters(dit, config.lora), parameters) if config.lora.rank else (parameters, 0)
    held = math.ceil(trained * EXACT / shards)
    waiting = config.optim.accumulate > workers or "gradients" in OFFLOADED[config.train.offload]
    lasting, flying = unsharded_bytes(config, dit, parameters, trained, workers)
    last = math.ceil(moving_parameters(config, dit, trained) * EXACT / shards)  # gradients of the last block to come
    early, on_gpu = held if waiting else 0, config.train.gpus_per_worker > 0
    begins = early, lasting + flying, activation_bytes(config, dit, reads, dit.layers)
    ends = held, lasting + flying, max(0, activation_bytes(config, dit, reads, 1) - last)
    phases = [begins, ends]
    in_pixels = config.tail.space == "pixel" and config.tail.weight > 0
    if in_pixels or on_gpu:
        phases.append((early, lasting, loss_bytes(config, dit, reads, in_pixels=in_pixels)))
    gradients, whole, activations = max(phases, key=sum)
    return StudentMemory(
        weights=held + math.ceil(frozen * BYTES[config.train.dtype] / shards),
        gradients=gradients,
        moments=2 * held,
        ema=held,
        whole=whole,
        activations=activations,
        vae=VAE_BYTES if in_pixels else 0,
    )


def teacher_memory(config: Config, dit: DitSizes, reads: Reads, *, image_tokens: int) -> tuple[int, int]:
    """Bytes of one rank of a replica: its weights, and what a forward holds beside them at most.

    Ranks split the blocks; each reads whole tokens. A rollout is of ``teacher.batch`` samples, a target of
    ``optim.batch``, which keeps its taps too, twice while they are stacked.
    """
    size, tp, width = BYTES[config.models.dtype], config.teacher.tp, dit.width
    blocks = dit.layers * block_parameters(dit)
    weights = size * (parameter_count(dit, image_tokens) - blocks + math.ceil(blocks / tp))
    token = reads.clip * token_bytes(config, dit, tp)
    taps = 2 * size * len(config.kd.taps) * reads.clip * width if config.kd.weight > 0 else 0
    return weights, max(config.teacher.batch * token, config.optim.batch * (token + taps))


def token_bytes(config: Config, dit: DitSizes, tp: int) -> int:
    """Returns what one of `tp` ranks holds of a token at most in a forward without gradients, weights left out."""
    size, width = BYTES[config.models.dtype], dit.width
    attention = (2 * size + 8) * width + (4 * size + 4) * width // tp  # q, k, v, one of them rotated in float32
    return max(attention, (2 * size + 4) * width + 2 * size * dit.ffn // tp)


def unsharded_bytes(config: Config, dit: DitSizes, parameters: int, trained: int, workers: int) -> tuple[int, int]:
    """Returns the bytes that FSDP2 leaves unsharded, for a whole step and in a backward.

    What lies outside the blocks is there for a whole step, with all gradients where forwards add up without a
    reduction. In a backward there are a block's weights, those of the next one, and gradients that are being reduced.
    gloo on a CPU holds more: the buffer that weights arrived in, and gradients before their cast. `trained` counts
    what gets gradients: all `parameters`, or those of adapters.
    """
    if workers == 1 and config.train.dtype == "float32" and config.train.offload != "all":
        return 0, 0  # no mesh
    block, size, on_gpu = block_parameters(dit), BYTES[config.train.dtype], config.train.gpus_per_worker > 0
    moving = moving_parameters(config, dit, trained)
    adding_up = config.optim.accumulate > workers and config.train.reduce == "last"
    lasting = size * (parameters - dit.layers * block) + (EXACT * trained if adding_up else 0)
    flying = (2 if on_gpu else 3) * size * block + (EXACT if on_gpu else size + EXACT) * moving
    return lasting, flying


def moving_parameters(config: Config, dit: DitSizes, trained: int) -> int:
    """Returns how many parameters of a block have gradients, out of all that are `trained`."""
    return trained // dit.layers if config.lora.rank else block_parameters(dit)


def activation_bytes(config: Config, dit: DitSizes, reads: Reads, blocks: int) -> int:
    """Returns the bytes of a forward's activations while its backward is at the last of `blocks`.

    Counted in diffusers' block, on the CPU and on a pretended GPU (benchmarks/gpu/symbolic.py). SDPA or a flash kernel
    is taken for granted: neither keeps N x N numbers.
    """
    everything, kept = block_bytes(config, dit, reads)
    width, size = dit.width, BYTES[config.train.dtype]
    backward = reads.clip * (EXACT * width + size * dit.ffn)  # gradients of the widest layer
    # The loss comes before the backward. On a CPU what it holds was found to be there still.
    taps = 0 if config.train.gpus_per_worker > 0 else tap_bytes(config, dit, reads)
    return config.optim.batch * (blocks * kept + (everything - kept) + backward + ends_bytes(config, dit, reads) + taps)


def loss_bytes(config: Config, dit: DitSizes, reads: Reads, *, in_pixels: bool) -> int:
    """Returns the bytes of activations while the loss is computed; `in_pixels` it decodes and encodes."""
    _, kept = block_bytes(config, dit, reads)
    data, batch = config.data, config.optim.batch
    clips = min(batch, vae_clips(data.height * data.width * data.frames))
    pixels = clips * IN_PIXELS.of(data.height, data.width, data.frames) if in_pixels else 0
    each = dit.layers * kept + ends_bytes(config, dit, reads) + tap_bytes(config, dit, reads)
    return batch * each + pixels


def block_bytes(config: Config, dit: DitSizes, reads: Reads) -> tuple[int, int]:
    """Returns the bytes of a block's activations on a sample: all, and those that ``train.recompute`` keeps.

    On the CPU a norm keeps its input, its float32 copy and its result; a GPU's fused norms keep less.
    """
    width, ffn, size = dit.width, dit.ffn, BYTES[config.train.dtype]
    clip, seen = reads.clip, reads.text + reads.image
    norms = (16 if config.train.gpus_per_worker > 0 else 48) * width
    everything = clip * (norms + 12 * size * width + 2 * size * ffn) + seen * (8 + 4 * size) * width
    products = clip * size * (11 * width + ffn) + seen * 2 * size * width
    block_input = clip * size * width
    return everything, {"none": everything, "selective": products, "full": block_input}[config.train.recompute]


def ends_bytes(config: Config, dit: DitSizes, reads: Reads) -> int:
    """Returns the bytes of a sample's activations before and after the blocks."""
    return reads.clip * (8 + 3 * BYTES[config.train.dtype]) * dit.width


def tap_bytes(config: Config, dit: DitSizes, reads: Reads) -> int:
    """Returns the bytes of a sample's taps in the loss."""
    return 4 * EXACT * len(config.kd.taps) * reads.clip * dit.width if config.kd.weight > 0 else 0


def block_parameters(dit: DitSizes) -> int:
    """Counts one block: attention among tokens, over text and over images, norms, feed-forward, modulation."""
    width = dit.width
    attention = 4 * (width * width + width) + 2 * width
    images = 2 * (width * width + width) + width
    return 2 * attention + images + 2 * width + 2 * width * dit.ffn + dit.ffn + width + 6 * width


def adapter_parameters(dit: DitSizes, lora: Lora) -> int:
    """Counts the adapters on ``lora.targets``: the rank times inputs and outputs of each layer."""
    square, ffn = 2 * dit.width, dit.width + dit.ffn
    layers = {f"attn{n}.{layer}": square for n in (1, 2) for layer in ("to_q", "to_k", "to_v", "to_out.0")}
    layers |= {"attn2.add_k_proj": square, "attn2.add_v_proj": square, "ffn.net.0.proj": ffn, "ffn.net.2": ffn}
    ends = tuple(f".{target}" for target in lora.targets)
    return lora.rank * dit.layers * sum(size for name, size in layers.items() if f".{name}".endswith(ends))


def checkpoint_bytes(config: Config, dit: DitSizes, image_tokens: int) -> int:
    """Returns the bytes of a checkpoint: weights, their average and two moments of what is trained."""
    return 4 * EXACT * trained_parameters(config, dit, image_tokens)


def trained_parameters(config: Config, dit: DitSizes, image_tokens: int) -> int:
    """Counts the parameters that have gradients: all, or the adapters'."""
    return adapter_parameters(dit, config.lora) if config.lora.rank else parameter_count(dit, image_tokens)


def parameter_count(dit: DitSizes, image_tokens: int) -> int:
    """Counts the whole transformer; `image_tokens` are those of one image."""
    width, seen = dit.width, dit.image_width
    patch = math.prod(dit.patch)
    before = dit.channels_in * patch * width + width
    timestep = (dit.frequencies + 1) * width + (width + 1) * width + (width + 1) * 6 * width
    text = (dit.text_width + 1) * width + (width + 1) * width
    image = 2 * seen + (seen + 1) * seen + (seen + 1) * width + 2 * width
    positions = dit.images * image_tokens * seen if dit.images > 1 else 0
    after = (width + 1) * dit.channels_out * patch + 2 * width
    return before + timestep + text + image + positions + after + dit.layers * block_parameters(dit)
