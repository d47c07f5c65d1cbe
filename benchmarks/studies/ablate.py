"""The paper's ablations and our controls, mean success of each. Runs what `make ablate` has not finished."""

import sys

from benchmarks.support.result import write_result
from pipelines.stages import ablate
from v4e.config import parse
from v4e.files.uri import join, read_json


def main() -> None:
    arguments = sys.argv[1:] or ["run.dir=runs/ablate"]
    config = parse(arguments)
    ablate.run(config)
    figures = read_json(join(config.run.dir, "metrics.json"))
    rows = [{"variant": name} | {k: v for k, v in row.items() if k != "by_task"} for name, row in figures.items()]
    rows += [{"variant": n, "task": t} | r for n, row in figures.items() for t, r in row["by_task"].items()]
    summary = {name: row["success"]["mean"] for name, row in figures.items() if name != "copy"}
    write_result(
        "ablate",
        " ".join(["python -m benchmarks.studies.ablate", *arguments]),
        rows,
        summary | {"seeds": config.ablate.seeds},
    )


if __name__ == "__main__":
    main()
