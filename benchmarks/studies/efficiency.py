"""Success against the number of training triplets, mean over seeds. Runs what pipelines/efficiency.py has not done."""

import sys

from benchmarks.support.result import write_result
from pipelines.stages import efficiency
from v4e.config import parse
from v4e.files.uri import join, read_json


def main() -> None:
    arguments = sys.argv[1:] or ["run.dir=runs/efficiency", "optim.steps=600"]
    config = parse(arguments)
    efficiency.run(config)
    figures = read_json(join(config.run.dir, "efficiency.json"))
    rows = [
        {"triplets": int(size), "variant": name} | {k: v for k, v in row.items() if k != "by_task"}
        for size, found in figures.items()
        for name, row in found.items()
    ]
    summary = {f"{row['variant']}_{row['triplets']}": row["success"]["mean"] for row in rows}
    write_result(
        "efficiency",
        " ".join(["python -m benchmarks.studies.efficiency", *arguments]),
        rows,
        summary | {"seeds": config.ablate.seeds},
    )


if __name__ == "__main__":
    main()
