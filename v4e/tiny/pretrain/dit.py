"""Stages 3 and 4: the I2V base (with its text and image encoders), then the FLF2V teacher that starts from it.

Plain flow matching on evolution clips. The text encoder also learns which concepts a text names, from a linear
head on its mean state, on captions and on instructions. A language model pretrained on all kinds of text understands an
instruction's words too. Yet the base never sees what an instruction does to an image.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer

from v4e.method import flow
from v4e.method.conditioning import condition
from v4e.models import tiny
from v4e.models.attention import fold_pads
from v4e.models.dit import DitInputs, predict
from v4e.models.encoders import encode_images
from v4e.models.tiny_sizes import FIRST, TinySizes
from v4e.tiny.pretrain.latents import PARTS, load
from v4e.tiny.pretrain.loop import PretrainMeter, average, average_gradients, cosine, resume, save
from v4e.tiny.pretrain.optim import MuonAdamW
from v4e.tiny.world2.edits import SPATIAL

MUON_LR = 6e-3  # on AdamW's scale: Muon's updates are brought to AdamW's root mean square
ADAMW_LR = 1.2e-3
EMA = 0.9995
EDIT_WEIGHT = 3.0  # extra loss weight on latents whose pixels change: most of a clip only has to stand still
CONCEPT_WEIGHT = 0.1
RARE = 0.1  # draws of a spatial clip against one of another, for the base of World 2
NO_TEXT = 0.05  # share of samples with an empty text, for classifier-free guidance


class Family(nn.Module):
    """The trainable parts of one stage; the encoders are frozen for the teacher."""

    def __init__(self, tokenizer, concepts: list[str], sizes: TinySizes = FIRST, *, last_frame: bool):
        super().__init__()
        self.dit = tiny.build_dit(sizes, last_frame=last_frame)
        self.text = tiny.build_text_encoder(sizes)
        self.image = tiny.build_image_encoder(sizes)
        self.head = nn.Linear(tiny.TEXT_WIDTH, len(concepts))
        self.tokenizer, self.concepts = tokenizer, {c: i for i, c in enumerate(concepts)}
        fold_pads(self.dit)

    def encode(self, texts: list[str]) -> tuple[list[Tensor], Tensor]:
        """States without pads, and their means (B, D)."""
        tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
        states = self.text(tokens.input_ids, tokens.attention_mask).last_hidden_state
        mask = tokens.attention_mask.unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1)
        return [s[: int(n)] for s, n in zip(states, tokens.attention_mask.sum(1), strict=True)], mean

    def concept_loss(self, mean_BD: Tensor, names: list[list[str]]) -> Tensor:
        target = torch.zeros(len(names), len(self.concepts))
        for row, words in zip(target, names, strict=True):
            row[[self.concepts[w] for w in words]] = 1
        return F.binary_cross_entropy_with_logits(self.head(mean_BD), target) * 10


def tokenizer_and_concepts(work: Path, texts: list[dict]):
    """The tokenizer of ``work/tokenizer``, which a warm start leaves there, or else one fitted to the corpus."""
    if (work / "tokenizer").exists():
        tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    else:
        tokenizer = tiny.build_tokenizer([t for row in texts[:6000] for t in (*row["captions"], *row["instructions"])])
    return tokenizer, sorted({c for row in texts for c in row["concepts"]})


def edit_weights(regions: np.ndarray, cell: int, frames: int) -> Tensor:
    """Loss weight of each latent (B, 1, F, H, W): the first of F frames little, latents of a region much, others 1.

    Regions are bool (B, S, S) and must not tell which outcome a clip shows. A weight that does moves the mean that the
    loss asks for, and all outcomes appear at once. `cell` is the number of pixels along a latent's side.
    """
    b, h, w = regions.shape
    blocks = regions.reshape(b, h // cell, cell, w // cell, cell).any((2, 4))
    cells = torch.from_numpy(blocks).float().unsqueeze(1)
    later = (1 + EDIT_WEIGHT * cells).expand(b, frames - 1, *cells.shape[2:])
    return torch.cat([torch.full_like(cells, 0.3), later], 1).unsqueeze(1)


def chances(texts: list[dict], stage: str) -> np.ndarray | None:
    """Returns how likely each clip is to be drawn, which sums to 1; None where all are equally likely.

    The base of a world whose texts name tasks sees the spatial ones rarely, as video models do; the teacher sees all.
    """
    if stage != "base" or "task" not in texts[0]:
        return None
    weights = np.array([RARE if row["task"] in SPATIAL else 1.0 for row in texts])
    return weights / weights.sum()


def compile_blocks(dit: WanTransformer3DModel) -> None:
    """Compiles each block of `dit`, with attention as plain products: the CPU's bfloat16 kernel for it is slow."""
    dit.set_attention_backend("_native_math")
    for block in dit.blocks:
        block.compile()


def even_lengths(text: list[Tensor]) -> list[Tensor]:
    """Pads states (T_i, D) to one multiple of 32 with zeros, as Wan does. Few lengths are few compilations."""
    length = -(-max(map(len, text)) // 32) * 32
    return [F.pad(states, (0, 0, 0, length - len(states))) for states in text]


def pixels(images: list[np.ndarray]) -> list[Image.Image]:
    return [Image.fromarray(i) for i in images]


def train(
    rank: int,
    workers: int,
    work: Path,
    stage: str,
    steps: int,
    batch: int,
    latents: int,
    lr: float,
    sizes: TinySizes = FIRST,
    fast: bool = False,
    every: int = 250,
) -> None:
    """Train the `stage` ("base" or "teacher") to `steps`; resumes from ``work/<stage>.safetensors``.

    It is saved after each `every` steps. `lr` is a factor on the learning rates. `fast` compiles the DiT's blocks and
    multiplies in bfloat16.
    """
    teacher = stage == "teacher"
    clips, regions = (np.load(work / f"corpus/{name}.npy", mmap_mode="r") for name in ("clips", "regions"))
    z_clips, z_conditions = (load(work, part, latents) for part in PARTS[stage])
    texts = json.loads((work / "corpus/texts.json").read_text())
    tokenizer, concepts = tokenizer_and_concepts(work, texts)
    torch.manual_seed(0)
    family = Family(tokenizer, concepts, sizes, last_frame=teacher)
    path = work / f"{stage}.safetensors"
    if teacher:
        _start_from_base(family, work, sizes)
    params = [p for p in (family.dit if teacher else family).parameters() if p.requires_grad]
    optimizer = MuonAdamW(family, muon_lr=MUON_LR * lr, adamw_lr=ADAMW_LR * lr)
    ema = {k: v.detach().clone() for k, v in family.state_dict().items()}
    start = resume(path, family, ema, optimizer.load)
    if fast:
        compile_blocks(family.dit)
    processor = tiny.image_processor()
    likely = chances(texts[:latents], stage)
    meter = PretrainMeter(stage, steps, 100, batch * workers, work / f"{stage}.log")
    for step in range(start, steps):
        rng = np.random.default_rng((step, rank))
        rows = np.sort(rng.choice(latents, batch, replace=False, p=likely))
        generator = torch.Generator().manual_seed(step * workers + rank)
        z_clip, z_rest = (torch.from_numpy(z[rows]).float().transpose(1, 2) for z in (z_clips, z_conditions))
        y = condition(torch.cat([z_clip[:, :, :1], z_rest], 2), last=teacher)
        frames = np.array(clips[rows])
        said = [texts[r]["captions"][rng.integers(4)] for r in rows]
        said = ["" if rng.random() < NO_TEXT else s for s in said]
        with torch.set_grad_enabled(not teacher):
            text, _ = family.encode(said)
            image = encode_images(family.image, processor, pixels(list(frames[:, 0])))
            if teacher:
                image = torch.cat([image, encode_images(family.image, processor, pixels(list(frames[:, -1])))], 1)
        t = flow.shift_time(torch.rand(batch, generator=generator), tiny.FLOW_SHIFT)
        eps = torch.randn(z_clip.shape, generator=generator)
        inputs = DitInputs(y_BCFHW=y, text=even_lengths(text) if fast else text, image_BID=image)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            u, _ = predict(family.dit, flow.add_noise(z_clip, eps, t), t, inputs)
        weight = edit_weights(regions[rows], sizes.stride, sizes.latent_frames)
        loss = ((u.float() - flow.velocity(z_clip, eps)).pow(2) * weight).mean() / weight.mean()
        concept = torch.zeros(())
        if not teacher:
            asked = [texts[r]["instructions" if i % 2 else "captions"][i // 2 % 2] for i, r in enumerate(rows)]
            transitions = [i for i, r in enumerate(rows) if texts[r]["kind"] not in ("still", "drift") or i % 2]
            mean = family.encode([asked[i] for i in transitions])[1]
            concept = family.concept_loss(mean, [texts[rows[i]]["concepts"] for i in transitions])
        (loss + CONCEPT_WEIGHT * concept).backward()
        average_gradients(params)
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step(cosine(step, steps))
        optimizer.zero_grad()
        average(ema, family, EMA, step)
        if rank == 0:
            meter(step + 1, flow=loss.detach(), concept=concept.detach())
        if (step + 1) % every == 0 or step + 1 == steps:
            moments = optimizer.tensors()
            if rank == 0:
                save(path, family, ema, moments, step + 1)


def load_family(work: Path, stage: str, sizes: TinySizes = FIRST) -> Family:
    """A trained stage's EMA weights."""
    texts = json.loads((work / "corpus/texts.json").read_text())
    tokenizer, concepts = tokenizer_and_concepts(work, texts)
    family = Family(tokenizer, concepts, sizes, last_frame=stage == "teacher").eval().requires_grad_(False)
    tensors = load_file(work / f"{stage}.safetensors")
    family.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("ema/")})
    return family


def _start_from_base(family: Family, work: Path, sizes: TinySizes) -> None:
    """Wan's FLF2V starts from its I2V: all weights shared but the position embedding of the two images' tokens."""
    base = load_family(work, "base", sizes).state_dict()
    missing, unexpected = family.load_state_dict(base, strict=False)
    if unexpected or any("pos_embed" not in k for k in missing):
        raise ValueError(f"the base does not fit the teacher: missing {missing}, unexpected {unexpected}")
    family.text.requires_grad_(False)
    family.image.requires_grad_(False)
    family.head.requires_grad_(False)
