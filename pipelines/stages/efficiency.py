"""Success against the number of training triplets: the whole method, the tail alone, distillation alone.

Run it with a run.dir of its own: run.dir=runs/efficiency. Every variant is trained with the same number of steps on the
first ablate.sizes triplets, with ablate.seeds seeds, in <run.dir>/n<size>/<variant>-seed<k>. Ends with efficiency.json,
efficiency.md and efficiency.png. A second run does only what is missing.
"""

import io
from dataclasses import replace

from matplotlib.figure import Figure

from pipelines.parts.variants import VariantRun, finished, progress, shared_data, summary, variant_runs
from pipelines.stages import ablate
from v4e.config import Config
from v4e.evaluation.verdict import claim_table, figure_table, markdown
from v4e.files.progress import plan, say
from v4e.files.uri import exists, join, write_atomic, write_json_atomic
from v4e.training import checks as startup

VARIANTS = {name: ablate.VARIANTS[name] for name in ("full", "no_kd", "no_tail")}
LABELS = {"full": "full", "no_kd": "tail only", "no_tail": "distillation only"}
CLAIMS = (("full", "no_kd", "distillation adds to the tail"), ("full", "no_tail", "the tail adds to distillation"))


def run(config: Config) -> None:
    """All variants on all sizes, smallest first.

    Raises:
        ValueError: ``run.dir`` holds a training run, or variants made by other settings or weights.
    """
    if exists(join(config.run.dir, "training.json")):
        raise ValueError(f"run.dir={config.run.dir} holds a training run: give this its own, run.dir=runs/efficiency")
    startup.check_run(config)
    todo = {size: runs_of(config, size) for size in config.ablate.sizes}
    pending = [each for of_size in todo.values() for each in of_size if not finished(each)]
    plan(
        "data efficiency",
        {
            "triplets": ", ".join(map(str, config.ablate.sizes)),
            "variants": ", ".join(LABELS.values()),
            "seeds": f"{config.run.seed} to {config.run.seed + config.ablate.seeds - 1}",
            "budget": f"{config.optim.steps} steps of {config.optim.batch * config.optim.accumulate} samples each",
            "to do": f"{len(pending)} of {sum(map(len, todo.values()))} runs",
            "output": config.run.dir,
        },
    )
    if pending:
        ablate.prepare(replace(config, data=replace(config.data, limit=config.ablate.sizes[-1])), VARIANTS)
    figures: dict[int, dict[str, dict]] = {}
    for size, of_size in todo.items():
        for number, each in enumerate(of_size, 1):
            if each in pending:
                ablate.make(each)
            say(f"{size} triplets {progress(number, of_size)}")
        figures[size] = summary(of_size)
        report(config.run.dir, figures)


def runs_of(config: Config, size: int) -> list[VariantRun]:
    """The runs of one size, which share triplets, captions, features and rollouts with the other sizes."""
    data = replace(shared_data(config), limit=size)
    place = replace(config.run, dir=join(config.run.dir, f"n{size:05d}"))
    found = variant_runs(replace(config, run=place, data=data), VARIANTS, config.ablate.seeds)
    return [each for each in found if each.trained]


def report(run_dir: str, figures: dict[int, dict[str, dict]]) -> None:
    """efficiency.json, efficiency.md and efficiency.png of the sizes that are done."""
    write_json_atomic(join(run_dir, "efficiency.json"), {str(size): found for size, found in figures.items()})
    page = "# Success against the number of training triplets\n\n"
    for size, found in figures.items():
        tables = (figure_table(found), claim_table(found, CLAIMS))
        page += f"# {size} triplets\n\n" + "\n".join(markdown(table) for table in tables) + "\n"
    write_atomic(join(run_dir, "efficiency.md"), page.encode())
    buffer = io.BytesIO()
    plot(figures).savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    write_atomic(join(run_dir, "efficiency.png"), buffer.getvalue())


def plot(figures: dict[int, dict[str, dict]]) -> Figure:
    """Mean success with its standard deviation over seeds, a line a variant; sizes on a logarithmic axis."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for variant, label in LABELS.items():
        success = [found[variant]["success"] for found in figures.values()]
        axes.errorbar(
            list(figures), [s["mean"] for s in success], yerr=[s["std"] or 0.0 for s in success], label=label, capsize=3
        )
    axes.set(xscale="log", xlabel="training triplets", ylabel="success on held-out edits", ylim=(0, 1))
    axes.set_xticks(list(figures), [str(size) for size in figures])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure
