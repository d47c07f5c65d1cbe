"""Makes the tiny Wan family from nothing: VAE, I2V base with its encoders, FLF2V teacher.

Writes two diffusers folders below v4e/assets. Takes hours on two cores; every stage checkpoints to work/, and the
same command goes on from there.

v4e pretrain start_from=v4e/assets trains on from there; with vae_steps=0 the VAE stays as it is.
"""

from dataclasses import asdict, fields, replace
from pathlib import Path

from v4e.config.commands import PretrainOptions
from v4e.files.progress import plan, say
from v4e.models import tiny
from v4e.models.tiny_sizes import TinySizes
from v4e.tiny.pretrain import card, dit, gate, latents, open_gate, start, vae
from v4e.tiny.pretrain.corpus import SIZES, write_corpus
from v4e.tiny.pretrain.loop import spawn

BATCH = 32  # clips of a worker's step
PER_TASK = 20  # validation edits of each task of World 2


def run(options: PretrainOptions) -> None:
    """Make the family; every stage goes on from its checkpoint."""
    check(options)
    work, out = Path(options.work), Path(options.out)
    start_from = Path(options.start_from) if options.start_from else None
    plan("pretraining", {name: str(value) for name, value in asdict(options).items()})
    work.mkdir(parents=True, exist_ok=True)
    sizes = sizes_of(options)
    write_corpus(work / "corpus", options.clips, 0, options.workers, options.world, sizes)
    vae_folder = Path(options.vae) if options.vae else start_from and start_from / "tiny-wan-i2v/vae"
    vae_steps = 0 if options.vae else options.vae_steps
    if vae_folder and not (work / "vae.safetensors").exists():
        start.take_vae(vae_folder, work, frozen=vae_steps == 0)
    if start_from and not (work / "base.safetensors").exists():
        start.take_dit(start_from / "tiny-wan-i2v", work, "base", sizes)
    if vae_steps:
        warmup = 0 if start_from else vae.WARMUP
        spawn(vae.train, options.workers, work, vae_steps, 4, sizes, warmup)
    if not (work / "latent-stats.json").exists():
        latents.measure_stats(work, sizes)
    if options.until == "vae":
        if options.world == "world2":
            judged = open_gate.run(work, "vae", open_gate.records_of(PER_TASK, sizes), sizes)
            say(f"VAE: last frame {open_gate.last_frame_psnr(judged):.1f} dB, {judged}")
        return
    gentle = 0.5  # of the learning rates, for what starts from trained weights
    lr = gentle if start_from else 1.0
    for stage, steps, factor in (("base", options.base_steps, lr), ("teacher", options.teacher_steps, gentle)):
        spawn(latents.encode, options.workers, work, stage, options.latents, sizes, options.fast)
        spawn(dit.train, options.workers, work, stage, steps, BATCH, options.latents, factor, sizes, options.fast)
    save(work, out, sizes)
    if options.world == "world2":
        return _judge(work, sizes)
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


def check(options: PretrainOptions) -> None:
    """Refuses a corpus that is too small for the stages that are asked for.

    Raises:
        ValueError: names the option.
    """
    if options.vae_steps and not options.vae and options.clips < 2 * vae.HELD:
        raise ValueError(f"clips={options.clips}: expected at least {2 * vae.HELD}, since the VAE holds {vae.HELD} out")
    if options.until != "vae" and not BATCH <= options.latents <= options.clips:
        raise ValueError(f"latents={options.latents}: expected {BATCH} (a batch) to clips={options.clips}")


def _judge(work: Path, sizes: TinySizes) -> None:
    """Says which gates the family of World 2 meets."""
    records = open_gate.records_of(PER_TASK, sizes)
    vae, teacher = (open_gate.run(work, stage, records, sizes) for stage in ("vae", "teacher"))
    base_1, base_8 = (open_gate.run(work, "base", records, sizes, steps=steps) for steps in (1, 8))
    for name, result in {"VAE": vae, "teacher": teacher, "base, 1 step": base_1, "base": base_8}.items():
        say(f"{name}: {result}")
    missed = open_gate.shortfalls(vae, teacher, base_1, base_8)
    say("gate not met: " + "; ".join(missed) if missed else "gate met")


def sizes_of(options: PretrainOptions) -> TinySizes:
    """Returns the sizes of the family: the world's own, where the options say nothing else."""
    own = SIZES[options.world]
    said = {f.name: getattr(options, f.name) for f in fields(TinySizes) if getattr(options, f.name)}
    return replace(own, **said)


def save(work: Path, out: Path, sizes: TinySizes) -> None:
    """Both diffusers folders, bf16."""
    for stage, name in (("base", "tiny-wan-i2v"), ("teacher", "tiny-wan-flf2v")):
        family = dit.load_family(work, stage, sizes)
        tiny.save(
            out / name,
            transformer=family.dit,
            vae=latents.load_vae(work, sizes),
            text_encoder=family.text,
            tokenizer=family.tokenizer,
            image_encoder=family.image,
            frames=(sizes.frames,),
        )
