"""Warm start: pretraining that goes on from weights of a pipeline folder instead of from nothing."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan

from v4e.models.tiny_sizes import TinySizes
from v4e.tiny.pretrain.dit import Family, tokenizer_and_concepts
from v4e.tiny.pretrain.loop import save
from v4e.weights.frozen import load_frozen
from v4e.weights.load import load_dit


def take_vae(folder: Path, work: Path, *, frozen: bool) -> None:
    """``work/vae.safetensors`` at step 0 from the VAE in `folder`; where it is `frozen`, ``latent-stats.json`` too."""
    vae = AutoencoderKLWan.from_pretrained(folder, torch_dtype=torch.float32)
    save(work / "vae.safetensors", vae, vae.state_dict(), {}, 0)
    if not frozen:
        return
    stats = {key: list(vae.config[key]) for key in ("latents_mean", "latents_std")}
    (work / "latent-stats.json").write_text(json.dumps(stats))


def take_dit(folder: Path, work: Path, stage: str, sizes: TinySizes) -> None:
    """``work/<stage>.safetensors`` at step 0 from the folder's DiT and encoders, and its tokenizer.

    The head that reads concepts off the text states is not in the folder: it starts anew.
    """
    frozen = load_frozen(str(folder), torch.float32)
    frozen.tokenizer.save_pretrained(work / "tokenizer")
    texts = json.loads((work / "corpus/texts.json").read_text())
    torch.manual_seed(0)
    family = Family(*tokenizer_and_concepts(work, texts), sizes, last_frame=stage == "teacher")
    family.dit.load_state_dict(load_dit(str(folder), torch.float32).state_dict())
    family.text.load_state_dict(frozen.text_encoder.state_dict())
    family.image.load_state_dict(frozen.image_encoder.state_dict())
    save(work / f"{stage}.safetensors", family, family.state_dict(), {}, 0)
