"""Edits the held-out triplets with the student, its EMA and the controls, and scores them against the ground truth.

Writes eval/<model>/<id>.npy (clips) and metrics.json below run.dir. A second run edits only what is missing, or
was made by other weights, settings or triplets.
"""

import hashlib
from functools import partial

from rich.table import Table

from actors.batch.editors import Editors
from pipelines.parts.heldout import WEIGHTS, load_editor, models, read_clip, read_heldout, resized
from v4e.captions.templates import template_caption
from v4e.config import Config, decided_by
from v4e.data.buckets import Size, size_of
from v4e.data.reject import replace_rejected
from v4e.data.store.fingerprint import folder_hash
from v4e.data.store.paths import heldout_uri
from v4e.evaluation.heldout import HeldoutModel, clip_uri
from v4e.evaluation.metrics.exact import score, summarize
from v4e.files.manifest import stage
from v4e.files.progress import bar, console, plan
from v4e.files.uri import exists, join, read_json, remove, write_json_atomic
from v4e.language.tasks import rule_task
from v4e.training import checks as startup
from v4e.types import EditTriplet


def run(config: Config, names: tuple[str, ...] | None = None) -> None:
    """Evaluates the models of :func:`models` on the held-out triplets; with `names`, only these of them."""
    startup.check_frames(config)
    triplets, rejected = read_heldout(config)
    replace_rejected(config.run.dir, "evaluate", rejected)
    chosen = [m for m in models(config) if names is None or m.name in names]
    plan(
        "evaluation",
        {
            "triplets": f"{len(triplets)} of {heldout_uri(config)}, {len(rejected)} more rejected",
            "models": ", ".join(m.name for m in chosen) + ", copy",
            "edit": f"{config.sample.steps} {config.sample.solver} steps, guidance {config.sample.guidance}"
            + (f", all frames for {config.sample.middle_steps}" if config.sample.middle_steps else ""),
        },
    )
    with stage(config.run.dir, "evaluate"):
        for model in chosen:
            generate(config, model, triplets)
    table = {m.name: scores(config, triplets, lambda t, m=m: read_clip(config, m, t.id)[-1]) for m in chosen}
    table["copy"] = scores(config, triplets, lambda t: resized(config, t.source))
    uri = join(config.run.dir, "metrics.json")
    stages = join(config.run.dir, "stages.json")
    table["seconds"] = {name: s["seconds"] for name, s in read_json(stages).items()}
    write_json_atomic(uri, table)
    show(table)


def generate(config: Config, model: HeldoutModel, triplets: list[EditTriplet]) -> None:
    """Edit what is missing. Clips made by other weights or settings are made again."""
    folder = join(config.run.dir, "eval", model.name)
    stamp_uri, stamp = join(folder, "made-by.json"), made_by(config, model)
    if config.run.overwrite or not exists(stamp_uri) or read_json(stamp_uri) != stamp:
        remove(folder)  # before the new stamp, or a killed run would leave old clips under it
        write_json_atomic(stamp_uri, stamp)
    drop_changed(config, model, triplets)
    batches = [(batch, asks(model, batch)) for batch in unfinished(config, model, triplets)]
    if not batches:
        return
    gpus = 1 if config.train.gpus_per_worker else 0
    with (
        Editors(partial(load_editor, config, model), config.eval.actors, gpus) as editors,
        bar(f"edits by {model.name}", sum(len(batch) for batch, _ in batches), unit="edits") as advance,
    ):
        for _, done in editors.edit(batches):
            advance(done)


def made_by(config: Config, model: HeldoutModel) -> dict[str, object]:
    """Returns everything that decides a model's clips, except the triplets."""
    settings = decided_by(config, "edits", models=False)
    if model.reconstructs:  # nothing is sampled: the grid and the precision count, as for features
        settings = {key: value for key, value in settings.items() if key in decided_by(config, "features")}
    weights = folder_hash(model.folder, ("vae",) if model.reconstructs else WEIGHTS)
    return settings | {"weights": weights}


def drop_changed(config: Config, model: HeldoutModel, triplets: list[EditTriplet]) -> None:
    """Removes the clips of triplets whose id now means other images or another instruction."""
    uri = join(config.run.dir, "eval", model.name, "triplets.json")
    before = read_json(uri) if exists(uri) else {}
    now = {t.id: digest(t) for t in triplets}
    for key, value in now.items():
        if before.get(key, value) != value:
            remove(clip_uri(config, model, key))
    if before | now != before:
        write_json_atomic(uri, before | now)


def digest(triplet: EditTriplet) -> str:
    """Returns a digest of all that an edit of the triplet and its score depend on."""
    total = hashlib.sha256(f"{triplet.task}\0{triplet.instruction}\0".encode())
    for image in (triplet.source, triplet.edit):
        total.update(f"{image.size}".encode() + image.tobytes())
    return total.hexdigest()


def unfinished(config: Config, model: HeldoutModel, triplets: list[EditTriplet]) -> list[list[EditTriplet]]:
    """The batches that lack a clip, each of one size.

    Cut before finished ones are left out: what is in a forward is then the same in a resumed run, to the bit.
    """
    size = config.eval.batch
    groups: dict[Size, list[EditTriplet]] = {}
    for triplet in triplets:
        groups.setdefault(size_of(*triplet.source.size, config.data), []).append(triplet)
    batches = [group[at : at + size] for group in groups.values() for at in range(0, len(group), size)]
    return [batch for batch in batches if not all(exists(clip_uri(config, model, t.id)) for t in batch)]


def asks(model: HeldoutModel, triplets: list[EditTriplet]) -> list[str]:
    """The text each triplet is edited by; held-out captions come from Table 1's templates, not from a ground truth."""
    if model.text == "instruction":
        return [t.instruction for t in triplets]
    return [template_caption(t.instruction, t.task or rule_task(t.instruction)[0] or "addition") for t in triplets]


def scores(config: Config, triplets: list[EditTriplet], edit_of) -> dict:
    return summarize(
        [
            score(t.task, resized(config, t.source), resized(config, t.edit), edit_of(t), config.eval.preserve_db)
            for t in triplets
        ]
    )


def show(table: dict) -> None:
    """Success per task and overall, a column a model."""
    names = [n for n in table if n != "seconds"]
    view = Table(title="success on held-out edits", title_justify="left")
    view.add_column("task")
    for name in names:
        view.add_column(name, justify="right")
    for task in table[names[0]]["by_task"]:
        view.add_row(task, *(f"{table[n]['by_task'][task]['success']:.2f}" for n in names))
    view.add_section()
    for label, key in (("overall", "success"), ("edit L1", "edit_l1"), ("preserved, dB", "preserve_psnr")):
        view.add_row(label, *(str(table[n]["overall"][key]) for n in names))
    console.print(view)
