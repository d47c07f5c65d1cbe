"""The report of a benchmark: report.html, tables.md, tables.csv and tables.tex below <bench.dir>."""

from pathlib import Path

from v4e.config import Config
from v4e.evaluation.suites.compare import compare
from v4e.evaluation.suites.page import render
from v4e.evaluation.suites.places import bench_dir, scores_uri
from v4e.evaluation.suites.scores import AXES
from v4e.evaluation.suites.tables import csv_text, latex, markdown, tables
from v4e.files.progress import plan
from v4e.files.uri import exists, join, read_json, write_atomic


def run(config: Config) -> None:
    """Reports on what ``judge`` has scored of ``bench.models``, and on the change since the run ``bench.against``.

    Raises:
        FileNotFoundError: there is nothing to report on, or ``bench.against`` has none of it.
    """
    bench, judge, place = config.bench, config.judge, bench_dir(config)
    models = [name for name, _ in bench.named]
    results = {
        (suite, model): read_json(uri)
        for suite in bench.suites
        for model in models
        if suite in AXES and exists(uri := scores_uri(config, suite, model))
    }
    if not results:
        raise FileNotFoundError(
            f"{place} holds no scores of {', '.join(models)} by {judge.backbone}: "
            "run with bench.stages=judge,report first"
        )
    diffs = []
    if bench.against:
        for (suite, model), result in results.items():
            uri = join(bench.against, suite, model, judge.backbone, "scores.json")
            if exists(uri) and (diff := compare(read_json(uri), result, bench.draws)):
                diffs.append(diff)
        if not diffs:
            raise FileNotFoundError(
                f"bench.against={bench.against} holds no scores of the same models and items by {judge.backbone}: "
                "expected another run's bench.dir"
            )
    found = tables(results, models, bench.languages)
    page = render(place, results, models, found, diffs, bench.gallery)
    written = {
        "report.html": page,
        "tables.md": markdown(found),
        "tables.csv": csv_text(found),
        "tables.tex": latex(found),
    }
    for name, text in written.items():
        write_atomic(join(place, name), text.encode())
    changes = {f"{d.suite} of {d.model}": f"{d.overall.mean:+.3f}, {d.overall.word}" for d in diffs}
    plan("report", {"page": str(Path(place, "report.html")), "tables": "tables.md, tables.csv, tables.tex", **changes})
