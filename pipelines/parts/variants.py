"""A recipe in several variants, each with several seeds: their runs, which are finished, and what came out of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from pipelines.parts.heldout import WEIGHTS
from v4e.config import Config, Data, Outcome, decided_by, differing
from v4e.data.store.fingerprint import folder_hash, loras_hash
from v4e.data.store.paths import captions_uri, heldout_uri, store_uri, train_uri
from v4e.evaluation.verdict import over_seeds
from v4e.files.uri import exists, join, read_json

Changes = Mapping[str, Mapping[str, object]]  # section to field to value, against the recipe
UNTRAINED = {"native": "native_i2v", "base_caption": "base_caption", "copy": "copy"}  # to names of evaluate's table
FIGURES: tuple[Outcome, ...] = (
    *("samples", "captions", "features", "rollouts"),
    *("training", "export", "edits", "scores"),
)


@dataclass(frozen=True, kw_only=True)
class VariantRun:
    """One variant with one seed; the untrained controls of a seed are one run too."""

    name: str
    seed: int
    config: Config
    settings: dict[str, object]  # everything that decides its figures
    trained: bool = True

    def uri(self, file: str) -> str:
        return join(self.config.run.dir, file)


def variant_runs(config: Config, variants: Mapping[str, Changes], seeds: int) -> list[VariantRun]:
    """Lists the runs seed by seed: if they are stopped early, the first seeds still compare all variants."""
    data = shared_data(config)
    watch = replace(config.watch, samples_every=0)  # strips would be encoded and rolled out anew for each variant
    found = []
    for seed in range(config.run.seed, config.run.seed + seeds):
        for name, changes in [*variants.items(), ("untrained", {})]:
            mine = changed(config, changes)
            place = replace(config.run, dir=join(config.run.dir, f"{name}-seed{seed}"), seed=seed)
            found.append(
                VariantRun(
                    name=name,
                    seed=seed,
                    config=replace(mine, run=place, data=data, watch=watch),
                    settings=deciding_settings(replace(mine, run=place)),
                    trained=name != "untrained",
                )
            )
    return found


def shared_data(config: Config) -> Data:
    """The triplets, captions and features of ``run.dir``, for runs in folders of their own."""
    return replace(
        config.data,
        train=train_uri(config),
        heldout=heldout_uri(config),
        captions=captions_uri(config),
        store=store_uri(config),
    )


def changed(config: Config, changes: Changes) -> Config:
    """`config` with single fields of its sections replaced."""
    sections = config.sections()
    return replace(config, **{name: replace(sections[name], **fields) for name, fields in changes.items()})


def deciding_settings(config: Config) -> dict[str, object]:
    """Returns everything that decides a variant's figures, the weights included, as JSON keeps it."""
    weights = {
        "the weights of models.student": folder_hash(config.models.student, WEIGHTS),
        "the weights of models.teacher": folder_hash(config.models.teacher, ("transformer",)),
    }
    loras = {"the files of models.lora": loras_hash(config.models.lora)} if config.models.lora else {}
    return decided_by(config, *FIGURES) | weights | loras


def finished(run: VariantRun) -> bool:
    """True if its figures are there.

    Raises:
        ValueError: its folder was made by other settings or weights; names them and what to do.
    """
    if run.config.run.overwrite or not exists(run.uri("made-by.json")):
        return False
    before = read_json(run.uri("made-by.json"))
    if other := differing(before, run.settings):
        raise ValueError(
            f"{run.config.run.dir} was made with other settings or weights: {', '.join(other)} differ; "
            "set them back, choose another run.dir, or make all anew with run.overwrite=true"
        )
    return exists(run.uri("metrics.json"))


def progress(number: int, todo: list[VariantRun]) -> str:
    """A line on the last of `number` finished runs, and the time that the others will take."""
    seconds: dict[str, list[float]] = {}
    for run in todo[:number]:
        seconds.setdefault(run.name, []).append(sum(read_json(run.uri("metrics.json"))["seconds"].values()))
    mean = fmean(s for known in seconds.values() for s in known)
    left = sum(fmean(seconds.get(run.name, [mean])) for run in todo[number:])
    run = todo[number - 1]
    success = ", ".join(f"{name} {table['overall']['success']:.2f}" for name, table in tables(run).items())
    line = f"── {number}/{len(todo)} seed {run.seed} success: {success}, in {seconds[run.name][-1] / 60:.1f} min"
    return line + (f"; about {left / 60:.0f} min left" if number < len(todo) else "")


def tables(run: VariantRun) -> dict[str, dict]:
    """The evaluation by variant: one, or those of the untrained controls."""
    table = read_json(run.uri("metrics.json"))
    return {run.name: table["ema"]} if run.trained else {ours: table[theirs] for ours, theirs in UNTRAINED.items()}


def summary(done: list[VariantRun]) -> dict[str, dict]:
    """The content of metrics.json: the spread over seeds of each variant's figures, overall and by task."""
    found: dict[str, list[dict]] = {}
    for run in done:
        for name, table in tables(run).items():
            found.setdefault(name, []).append(table)
    return {name: over_seeds(of_seeds) for name, of_seeds in found.items()}
