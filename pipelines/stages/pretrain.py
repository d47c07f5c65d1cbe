"""Makes the tiny Wan family from nothing: VAE, I2V base with its encoders, FLF2V teacher.

Writes two diffusers folders below v4e/assets. Takes hours on two cores; every stage checkpoints to work/, and the
same command goes on from there.

usage: python pipelines/pretrain.py [--clips N] [--latents N] [--vae-steps N] [--base-steps N] [--teacher-steps N]
       python pipelines/pretrain.py --start-from v4e/assets   # keep the VAE, train the DiTs on from there
"""

import argparse
from pathlib import Path

from v4e.files.progress import plan, say
from v4e.models import tiny
from v4e.tiny.pretrain import card, dit, gate, latents, start, vae
from v4e.tiny.pretrain.loop import spawn
from v4e.tiny.world.corpus import write_corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder for the corpus and the checkpoints")
    parser.add_argument("--out", type=Path, default=Path("v4e/assets"))
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread")
    parser.add_argument("--clips", type=int, default=48_000)
    parser.add_argument("--latents", type=int, default=48_000, help="clips that the DiTs are trained on")
    parser.add_argument("--vae-steps", type=int, default=6_000)
    parser.add_argument("--base-steps", type=int, default=30_000)
    parser.add_argument("--teacher-steps", type=int, default=6_000)
    parser.add_argument("--start-from", type=Path, help="folder of an earlier run's --out: VAE kept, base trained on")
    args = parser.parse_args()
    plan("pretraining", {k: str(v) for k, v in vars(args).items()})
    args.work.mkdir(parents=True, exist_ok=True)
    write_corpus(args.work / "corpus", args.clips, 0, args.workers)
    if args.start_from and not (args.work / "vae.safetensors").exists():
        start.take_vae(args.start_from / "tiny-wan-i2v", args.work, args.vae_steps)
    if args.start_from and not (args.work / "base.safetensors").exists():
        start.take_dit(args.start_from / "tiny-wan-i2v", args.work, "base")
    spawn(vae.train, args.workers, args.work, args.vae_steps, 4)
    if not (args.work / "latent-stats.json").exists():
        latents.measure_stats(args.work)
    spawn(latents.encode, args.workers, args.work, args.latents)
    gentle = 0.5  # of the learning rates, for what starts from trained weights
    lr = gentle if args.start_from else 1.0
    spawn(dit.train, args.workers, args.work, "base", args.base_steps, 32, args.latents, lr)
    spawn(dit.train, args.workers, args.work, "teacher", args.teacher_steps, 32, args.latents, gentle)
    save(args.work, args.out)
    results = {
        "vae": gate.run(args.work, "vae"),
        "teacher": gate.run(args.work, "teacher"),
        "base": gate.run(args.work, "base"),
        "native": gate.run(args.work, "base", text="instruction"),
    }
    for name, result in results.items():
        say(f"{card.COLUMNS[name]}: {result}")
    card.write_card(args.out, args.work, results, args.start_from)
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


if __name__ == "__main__":
    main()
