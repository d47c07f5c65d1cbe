"""Makes the tiny Wan family from nothing: VAE, I2V base with its encoders, FLF2V teacher.

Writes two diffusers folders below v4e/assets. Takes hours on two cores; every stage checkpoints to work/, and the
same command goes on from there.

v4e pretrain start_from=v4e/assets keeps the VAE and trains the DiTs on from there.
"""

from dataclasses import asdict
from pathlib import Path

from v4e.config.commands import Pretrain
from v4e.files.progress import plan, say
from v4e.models import tiny
from v4e.tiny.pretrain import card, dit, gate, latents, start, vae
from v4e.tiny.pretrain.loop import spawn
from v4e.tiny.world.corpus import write_corpus


def run(options: Pretrain) -> None:
    """Make the family; every stage goes on from its checkpoint."""
    work, out = Path(options.work), Path(options.out)
    start_from = Path(options.start_from) if options.start_from else None
    plan("pretraining", {name: str(value) for name, value in asdict(options).items()})
    work.mkdir(parents=True, exist_ok=True)
    write_corpus(work / "corpus", options.clips, 0, options.workers)
    if start_from and not (work / "vae.safetensors").exists():
        start.take_vae(start_from / "tiny-wan-i2v", work, options.vae_steps)
    if start_from and not (work / "base.safetensors").exists():
        start.take_dit(start_from / "tiny-wan-i2v", work, "base")
    spawn(vae.train, options.workers, work, options.vae_steps, 4)
    if not (work / "latent-stats.json").exists():
        latents.measure_stats(work)
    spawn(latents.encode, options.workers, work, options.latents)
    gentle = 0.5  # of the learning rates, for what starts from trained weights
    lr = gentle if start_from else 1.0
    spawn(dit.train, options.workers, work, "base", options.base_steps, 32, options.latents, lr)
    spawn(dit.train, options.workers, work, "teacher", options.teacher_steps, 32, options.latents, gentle)
    save(work, out)
    results = {
        "vae": gate.run(work, "vae"),
        "teacher": gate.run(work, "teacher"),
        "base": gate.run(work, "base"),
        "native": gate.run(work, "base", text="instruction"),
    }
    for name, result in results.items():
        say(f"{card.COLUMNS[name]}: {result}")
    card.write_card(out, work, results, start_from)
    missed = gate.shortfalls(results["vae"], results["base"], results["native"])
    say("gate not met: " + "; ".join(missed) if missed else "gate met")


def save(work: Path, out: Path) -> None:
    """Both diffusers folders, bf16."""
    for stage, name in (("base", "tiny-wan-i2v"), ("teacher", "tiny-wan-flf2v")):
        family = dit.load_family(work, stage)
        tiny.save(
            out / name,
            transformer=family.dit,
            vae=latents.load_vae(work),
            text_encoder=family.text,
            tokenizer=family.tokenizer,
            image_encoder=family.image,
        )
