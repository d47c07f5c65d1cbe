"""The results of `make demo`, and its time. Runs it where it has not run yet."""

import sys

from benchmarks.support.result import write_result
from pipelines.stages import demo
from v4e.config import parse
from v4e.files.uri import join, read_json


def main() -> None:
    config = parse(sys.argv[1:])
    demo.run(config)
    table = read_json(join(config.run.dir, "metrics.json"))
    stages = read_json(join(config.run.dir, "stages.json"))
    models = [name for name in table if name != "seconds"]
    rows = [{"model": name, "task": "overall"} | table[name]["overall"] for name in models]
    rows += [{"model": n, "task": task} | row for n in models for task, row in table[n]["by_task"].items()]
    rows += [{"stage": name} | row for name, row in stages.items()]
    student = table["ema"]["overall"]
    write_result(
        "demo",
        " ".join(["python -m benchmarks.studies.demo", *sys.argv[1:]]),
        rows,
        {
            "success": student["success"],
            "native_success": table["native_i2v"]["overall"]["success"],
            "teacher_success": table["teacher"]["overall"]["success"],
            "edit_l1": student["edit_l1"],
            "preserve_psnr": student["preserve_psnr"],
            "minutes": round(sum(row["seconds"] for row in stages.values()) / 60, 2),
        },
    )


if __name__ == "__main__":
    main()
