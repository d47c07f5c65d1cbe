"""The paper's ablations and our controls, on one budget, with several seeds each.

Run it with a run.dir of its own: run.dir=runs/ablate. Triplets, captions, features and rollouts are made once; every
variant is trained, exported and evaluated in <run.dir>/<variant>-seed<k>. Ends with metrics.json, ablate.md and a
verdict in words on each claim. A second run does only what is missing.
"""

from collections.abc import Mapping

from rich.table import Table

from pipelines.parts.variants import (
    UNTRAINED,
    Changes,
    VariantRun,
    changed,
    finished,
    progress,
    summary,
    variant_runs,
)
from pipelines.stages import caption, demo, evaluate, export, precompute, rollout, train
from v4e.config import Config
from v4e.data.store.paths import rollouts_uri
from v4e.evaluation.verdict import claim_table, figure_table, markdown
from v4e.files.progress import console, plan, say
from v4e.files.uri import exists, join, remove, write_atomic, write_json_atomic
from v4e.training import checks as startup

VARIANTS: dict[str, Changes] = {
    "full": {},
    "no_kd": {"kd": {"weight": 0.0}},
    "no_tail": {"tail": {"weight": 0.0}},
    "no_icg": {"teacher": {"text": "instruction"}},
    "tail_power_0": {"tail": {"power": 0.0}},
    "plain_fm": {"kd": {"weight": 0.0}, "tail": {"weight": 0.0}, "flow": {"weight": 1.0}},
    "full_and_fm": {"flow": {"weight": 1.0}},
}
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


def run(config: Config) -> None:
    """Compares all variants and controls, with ``ablate.seeds`` seeds."""
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
    todo = variant_runs(config, variants, seeds)
    pending = [each for each in todo if not finished(each)]
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
    for number, each in enumerate(todo, 1):
        if each in pending:
            make(each)
        say(progress(number, todo))
        write_json_atomic(join(config.run.dir, "metrics.json"), summary(todo[:number]))
    report(config.run.dir, summary(todo))


def prepare(config: Config, variants: Mapping[str, Changes]) -> None:
    """Makes what the variants share: triplets, captions, features, and rollouts of each kind of teacher."""
    for step in (demo.triplets, caption.run, precompute.run):
        step(config)
    teachers = {rollouts_uri(c): c for c in (changed(config, changes) for changes in variants.values())}
    for teacher in teachers.values():
        rollout.run(teacher)


def make(variant: VariantRun) -> None:
    """Brings one run to its metrics.json."""
    remove(variant.uri("metrics.json"))  # of an earlier run, when this one overwrites
    write_json_atomic(variant.uri("made-by.json"), variant.settings)
    if not variant.trained:
        evaluate.run(variant.config, tuple(UNTRAINED.values()))
        return
    train.run(variant.config)
    export.run(variant.config)
    evaluate.run(variant.config, ("ema",))


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
