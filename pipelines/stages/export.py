"""A checkpoint as diffusers pipeline folders: export/student and export/ema below the run.

WanImageToVideoPipeline.from_pretrained loads them unchanged; a new run starts from one by models.student=<the folder>.
Takes the newest checkpoint of run.dir, or the one of export.step. A LoRA run's adapters are merged into its base; the
adapters alone are in export/student-lora and export/ema-lora, in the names of diffusers, ComfyUI and kohya. With
export.single the DiT is written as one file for ComfyUI too. export.loras merges further LoRAs, each with its weight.
"""

from v4e.config import Config
from v4e.faults import Fault
from v4e.files import journal
from v4e.files.manifest import stage
from v4e.files.progress import bar, plan
from v4e.files.uri import join
from v4e.training import checkpoint
from v4e.training.model_card import card
from v4e.training.resume import check_export
from v4e.weights.export import Weights, export_lora, export_pipeline
from v4e.weights.load import DTYPES
from v4e.weights.single import STORED, write_single

FOLDERS: dict[str, Weights] = {"student": "model", "ema": "ema"}  # folder to the part of a checkpoint


def run(config: Config) -> None:
    """Exports one checkpoint of ``run.dir``.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the run was trained from another student, or with other adapters.
    """
    settings, checkpoints = config.export, join(config.run.dir, "checkpoints")
    step = chosen_step(checkpoints, settings.step)
    path = checkpoint.path_of(checkpoints, step)
    samples = check_export(config)
    records = journal.read(join(config.run.dir, "metrics.jsonl"))
    dtype = config.models.dtype if settings.dtype == "same" else settings.dtype
    chosen = [name for name, part in FOLDERS.items() if settings.weights in ("both", part)]
    out = join(config.run.dir, "export")
    made = [name + end for name in chosen for end in (("", "-lora") if config.lora.rank else ("",))]
    plan(
        "export",
        {
            "checkpoint": path,
            "base": " + ".join([config.models.student, *config.models.lora]),
            "merged": ", ".join(settings.loras) or "nothing more",
            "dtype": dtype,
            "files": f"up to {settings.shard_mb} MB of weights each",
            "output": ", ".join(join(out, name) for name in made),
        },
    )
    with stage(config.run.dir, "export"), bar("export", len(made), unit="folders") as advance:
        for name in chosen:
            weights = FOLDERS[name]
            export_pipeline(
                path,
                config.models.student,
                join(out, name),
                weights=weights,
                dtype=DTYPES[dtype],
                shard_bytes=settings.shard_mb * 10**6,
                lora=config.lora,
                card=card(config, step=step, weights=weights, samples=samples, records=records),
                positions=config.models.positions,
                start=config.models.lora,
                loras=settings.loras,
            )
            advance(1)
            if settings.single != "none":
                if "://" in out:
                    raise Fault("A02", f"export.single={settings.single} writes to a folder of this machine, not {out}")
                write_single(join(out, name), join(out, f"{name}.safetensors"), STORED[settings.single])
            if config.lora.rank:
                text = card(config, step=step, weights=weights, samples=samples, records=records, lora_file=True)
                export_lora(path, join(out, f"{name}-lora"), weights=weights, lora=config.lora, card=text)
                advance(1)


def chosen_step(checkpoints: str, step: int) -> int:
    """`step`, or the newest for 0.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    steps = checkpoint.steps_of(checkpoints)
    if not steps:
        raise FileNotFoundError(f"no checkpoint in {checkpoints}: run pipelines/train.py with this run.dir first")
    if step and step not in steps:
        there = ", ".join(map(str, steps))
        raise FileNotFoundError(f"export.step={step}: no such checkpoint in {checkpoints}, which has {there}")
    return step or steps[-1]
