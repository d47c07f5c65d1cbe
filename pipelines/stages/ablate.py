"""The paper's ablations and our controls, on one budget, with several seeds each.

Run it with a run.dir of its own: run.dir=runs/ablate. Triplets, captions, features and rollouts are made once; every
variant is trained, exported and evaluated in <run.dir>/<variant>-seed<k>. Ends with metrics.json, ablate.md and a
verdict in words on each claim. A second run does only what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from rich.table import Table

from pipelines.stages import caption, demo, evaluate, export, precompute, rollout, train
from v4e.config import Config, Data, Outcome, decided_by
from v4e.data.store.fingerprint import folder_hash
from v4e.data.store.paths import captions_uri, heldout_uri, rollouts_uri, store_uri, train_uri
from v4e.evaluation.verdict import claim_table, figure_table, markdown, over_seeds
from v4e.files.progress import console, plan, say
from v4e.files.uri import exists, join, read_json, remove, write_atomic, write_json_atomic
from v4e.training import checks as startup

Changes = Mapping[str, Mapping[str, object]]  # section to field to value, against the recipe
VARIANTS: dict[str, Changes] = {
    "full": {},
    "no_kd": {"kd": {"weight": 0.0}},
    "no_tail": {"tail": {"weight": 0.0}},
    "no_icg": {"teacher": {"text": "instruction"}},
    "tail_power_0": {"tail": {"power": 0.0}},
    "plain_fm": {"kd": {"weight": 0.0}, "tail": {"weight": 0.0}, "flow": {"weight": 1.0}},
    "full_and_fm": {"flow": {"weight": 1.0}},
}
UNTRAINED = {"native": "native_i2v", "base_caption": "base_caption", "copy": "copy"}  # to names of evaluate's table
CLAIMS = (  # the variant that should have more success, the one that should have less, the claim
    ("full", "no_tail", "paper: tail supervision helps"),
    ("full", "no_kd", "paper: block-wise distillation helps"),
    ("full", "no_icg", "paper: evolution captions help the teacher"),
    ("full", "native", "paper: training beats the native model"),
    ("full", "tail_power_0", "control: w(t) of Eq. 5 beats an even weight"),
    ("full", "plain_fm", "control: the method beats plain flow matching on the teacher's clips"),
    ("full_and_fm", "full", "control: a flow-matching loss adds to the method"),
    ("full_and_fm", "plain_fm", "control: the method adds to plain flow matching"),
    ("full", "base_caption", "control: the method beats captions given to the untrained model"),
)
FIGURES: tuple[Outcome, ...] = (
    *("samples", "captions", "features", "rollouts"),
    *("training", "export", "edits", "scores"),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One variant with one seed; the untrained controls of a seed are one job too."""

    name: str
    seed: int
    config: Config
    settings: dict[str, object]  # all that decides its figures
    trained: bool = True

    def uri(self, file: str) -> str:
        return join(self.config.run.dir, file)


def run(config: Config) -> None:
    """All variants and controls, with ``ablate.seeds`` seeds."""
    ablate(config, VARIANTS, config.ablate.seeds)


def ablate(config: Config, variants: Mapping[str, Changes], seeds: int) -> None:
    """Trains and evaluates `variants` and the untrained controls, and reports on the claims among them.

    Raises:
        ValueError: ``run.dir`` holds a training run, or variants made by other settings or weights.
    """
    if exists(join(config.run.dir, "training.json")):
        raise ValueError(
            f"run.dir={config.run.dir} holds a training run: give ablations their own, run.dir=runs/ablate"
        )
    startup.check_run(config)
    todo = jobs(config, variants, seeds)
    pending = [job for job in todo if not finished(job)]
    plan(
        "ablations",
        {
            "variants": ", ".join(variants),
            "controls": ", ".join(UNTRAINED),
            "seeds": f"{config.run.seed} to {config.run.seed + seeds - 1}",
            "budget": f"{config.optim.steps} steps of {config.optim.batch * config.optim.accumulate} samples each",
            "to do": f"{len(pending)} of {len(todo)} runs",
            "output": config.run.dir,
        },
    )
    if pending:
        prepare(config, variants)
    for number, job in enumerate(todo, 1):
        if job in pending:
            work(job)
        say(progress(number, todo))
        write_json_atomic(join(config.run.dir, "metrics.json"), summary(todo[:number]))
    report(config.run.dir, summary(todo))


def jobs(config: Config, variants: Mapping[str, Changes], seeds: int) -> list[Job]:
    """Seed by seed, so that a run that is stopped has compared all variants on the first ones."""
    data = shared(config)
    watch = replace(config.watch, samples_every=0)  # strips would be encoded and rolled out anew for each variant
    found = []
    for seed in range(config.run.seed, config.run.seed + seeds):
        for name, changes in [*variants.items(), ("untrained", {})]:
            mine = changed(config, changes)
            place = replace(config.run, dir=join(config.run.dir, f"{name}-seed{seed}"), seed=seed)
            found.append(
                Job(
                    name=name,
                    seed=seed,
                    config=replace(mine, run=place, data=data, watch=watch),
                    settings=settings(replace(mine, run=place)),
                    trained=name != "untrained",
                )
            )
    return found


def shared(config: Config) -> Data:
    """Triplets, captions and features of ``run.dir``, for jobs in folders of their own."""
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


def settings(config: Config) -> dict[str, object]:
    """Returns everything that decides a variant's figures, the weights included, as JSON keeps it."""
    weights = {
        "the weights of models.student": folder_hash(config.models.student, evaluate.WEIGHTS),
        "the weights of models.teacher": folder_hash(config.models.teacher, ("transformer",)),
    }
    return decided_by(config, *FIGURES) | weights


def finished(job: Job) -> bool:
    """Whether its figures are there.

    Raises:
        ValueError: its folder was made by other settings or weights; names them and what to do.
    """
    if job.config.run.overwrite or not exists(job.uri("made-by.json")):
        return False
    before = read_json(job.uri("made-by.json"))
    differing = [key for key, value in job.settings.items() if before.get(key) != value]
    if differing:
        raise ValueError(
            f"{job.config.run.dir} was made with other settings or weights: {', '.join(differing)} differ; "
            "set them back, choose another run.dir, or make all anew with run.overwrite=true"
        )
    return exists(job.uri("metrics.json"))


def prepare(config: Config, variants: Mapping[str, Changes]) -> None:
    """What the variants share: triplets, captions, features, and rollouts of each kind of teacher."""
    for step in (demo.triplets, caption.run, precompute.run):
        step(config)
    teachers = {rollouts_uri(c): c for c in (changed(config, changes) for changes in variants.values())}
    for teacher in teachers.values():
        rollout.run(teacher)


def work(job: Job) -> None:
    """Brings one job to its metrics.json."""
    remove(job.uri("metrics.json"))  # of an earlier run, when this one overwrites
    write_json_atomic(job.uri("made-by.json"), job.settings)
    if not job.trained:
        evaluate.run(job.config, tuple(UNTRAINED.values()))
        return
    train.run(job.config)
    export.run(job.config)
    evaluate.run(job.config, ("ema",))


def progress(number: int, todo: list[Job]) -> str:
    """One line on the last of `number` finished jobs, and the time that the others will take."""
    seconds: dict[str, list[float]] = {}
    for job in todo[:number]:
        seconds.setdefault(job.name, []).append(sum(read_json(job.uri("metrics.json"))["seconds"].values()))
    mean = fmean(s for known in seconds.values() for s in known)
    left = sum(fmean(seconds.get(job.name, [mean])) for job in todo[number:])
    job = todo[number - 1]
    success = ", ".join(f"{name} {table['overall']['success']:.2f}" for name, table in tables(job).items())
    line = f"── {number}/{len(todo)} seed {job.seed} success: {success}, in {seconds[job.name][-1] / 60:.1f} min"
    return line + (f"; about {left / 60:.0f} min left" if number < len(todo) else "")


def tables(job: Job) -> dict[str, dict]:
    """Variant to its evaluation."""
    table = read_json(job.uri("metrics.json"))
    return {job.name: table["ema"]} if job.trained else {ours: table[theirs] for ours, theirs in UNTRAINED.items()}


def summary(done: list[Job]) -> dict[str, dict]:
    """metrics.json: variant to the spread over seeds of each figure, overall and by task."""
    found: dict[str, list[dict]] = {}
    for job in done:
        for name, table in tables(job).items():
            found.setdefault(name, []).append(table)
    return {name: over_seeds(of_seeds) for name, of_seeds in found.items()}


def report(run_dir: str, figures: dict[str, dict]) -> None:
    """Prints the figures and the verdicts, and writes the same to ablate.md."""
    page = ""
    for table in (figure_table(figures), claim_table(figures, CLAIMS)):
        view = Table(*table.head, title=table.title, title_justify="left")
        for row in table.rows:
            view.add_row(*row)
        console.print(view)
        page += markdown(table) + "\n"
    write_atomic(join(run_dir, "ablate.md"), page.encode())
