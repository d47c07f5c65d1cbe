"""GEdit-Bench, ImgEdit-Bench and RISEBench: edits by several models, a judge's scores by their protocols, a report.

Reads your copies of the benchmarks (such as bench.gedit) and your checkouts of their code (such as bench.gedit_code).
Writes <bench.dir>/<suite>/<model> in the official layouts and <bench.dir>/report.html. A second run does only what is
missing. docs/evaluating.md has a walk through.
"""

from pipelines.parts import benchmark_report
from pipelines.parts.benchmark_edits import bring_all, generate_all, models
from pipelines.parts.benchmark_judge import check, judge_all
from v4e.config import Config
from v4e.evaluation.suites.places import bench_dir, folder, read
from v4e.files.manifest import stage
from v4e.files.place import check_dir
from v4e.files.progress import plan

JUDGED = ("gedit", "imgedit", "uge", "rise")  # multi-turn edits are judged by people


def run(config: Config) -> None:
    """Generates, judges and reports, as far as ``bench.stages`` says."""
    bench = config.bench
    check_dir("bench.dir", bench_dir(config))
    chosen = models(config)
    if "judge" in bench.stages:
        check(config, [name for name in bench.suites if name in JUDGED], chosen)  # before any edit is made
    suites = {name: [read(config, name, model.name) for model in chosen] for name in bench.suites}
    for name, of_models in suites.items():
        found = of_models[0]
        plan(
            f"benchmark {name}",
            {
                "items": f"{len(found.items)}" + (", the whole published set" if found.whole else ""),
                **{f"note {n}": note for n, note in enumerate(found.all_notes, 1)},
                **{f"sha256 of {file}": digest for file, digest in found.hashes.items()},
                "models": ", ".join(model.name for model in chosen),
                "output": folder(config, name),
            },
        )
    bring_all(config, chosen, suites)
    if "generate" in bench.stages and any(model.name not in bench.brought for model in chosen):
        with stage(config.run.dir, "benchmark: edits"):
            generate_all(config, chosen, suites)
    if "judge" in bench.stages:
        judge_all(config, {name: found for name, found in suites.items() if name in JUDGED}, chosen)
    if "report" in bench.stages:
        benchmark_report.run(config)
