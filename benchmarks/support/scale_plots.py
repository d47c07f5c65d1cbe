"""The plots of the simulated points, for docs/results/scale.md."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STAGES = ("ingest", "caption", "precompute", "rollout", "train", "export")


def plots(rows: Sequence[dict], folder: Path) -> None:
    """Writes scale-hours.png, scale-stages.png and scale-faults.png."""
    points = [row for row in rows if row["part"] == "point"]
    networks = sorted({row["network_gb_s"] for row in points})
    hours(points, networks[-1], folder / "scale-hours.png")
    stages(points, networks, folder / "scale-stages.png")
    faults([row for row in rows if row["part"] == "faults"], folder / "scale-faults.png")


def hours(points: Sequence[dict], network: float, path: Path) -> None:
    """Plots hours, and GPU hours per thousand triplets, over GPUs; one line per number of triplets."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    chosen = [row for row in points if row["network_gb_s"] == network]
    for triplets in sorted({row["triplets"] for row in chosen}):
        rows = sorted((row for row in chosen if row["triplets"] == triplets), key=lambda row: row["gpus"])
        gpus, name = [row["gpus"] for row in rows], f"$10^{{{len(str(triplets)) - 1}}}$"
        [drawn] = left.loglog(gpus, [row["hours"] for row in rows], "o-", ms=4, label=name)
        ideal = [rows[0]["hours"] * gpus[0] / number for number in gpus]
        left.loglog(gpus, ideal, "--", lw=0.8, color=drawn.get_color())
        right.loglog(gpus, [1e3 * row["gpu_hours"] / triplets for row in rows], "o-", ms=4, label=name)
    left.set(ylabel="hours, from corpora to the exported student")
    right.set(ylabel="GPU hours for a thousand triplets")
    gpus = sorted({row["gpus"] for row in chosen})
    for axis in (left, right):
        axis.set(xlabel="H100s", xticks=gpus)
        axis.set_xticklabels([str(number) for number in gpus])
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axis.grid(alpha=0.3)
    left.legend(title="triplets", fontsize=8)
    figure.suptitle(
        f"Simulated at stated speeds, {network:.0f} GB/s a node; dashed: in proportion to 8 GPUs", fontsize=10
    )
    save(figure, path)


def stages(points: Sequence[dict], networks: Sequence[float], path: Path, triplets: int = 10**7) -> None:
    """Plots each stage's share of the time for 10^7 triplets."""
    figure, axes = plt.subplots(1, len(networks), figsize=(11, 4.2), sharey=True)
    for axis, network in zip(axes, networks, strict=True):
        chosen = sorted(
            (row for row in points if row["network_gb_s"] == network and row["triplets"] == triplets),
            key=lambda row: row["gpus"],
        )
        bottom = [0.0] * len(chosen)
        for stage in STAGES:
            share = [row[f"{stage}_h"] / row["hours"] for row in chosen]
            axis.bar([str(row["gpus"]) for row in chosen], share, bottom=bottom, label=stage, width=0.9)
            for number, (row, part) in enumerate(zip(chosen, share, strict=True)):
                if part > 0.12:
                    limit = row[f"{stage}_limit"].removeprefix("the ").replace(" ", "\n", 1)
                    axis.text(number, bottom[number] + part / 2, limit, ha="center", va="center", fontsize=5)
            bottom = [a + b for a, b in zip(bottom, share, strict=True)]
        axis.set(title=f"{network:.0f} GB/s a node", xlabel="H100s", ylim=(0, 1))
    axes[0].set_ylabel(f"share of the time, {triplets:.0e} triplets".replace("e+0", "e"))
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle("Where the time goes, and what binds each stage (simulated)", fontsize=10)
    save(figure, path)


def faults(rows: Sequence[dict], path: Path) -> None:
    """Plots the useful share of training's time: simulated points, and Daly's closed form as lines."""
    figure, axis = plt.subplots(figsize=(6.5, 4.2))
    for mtbf_h in sorted({row["mtbf_h"] for row in rows}):
        line = sorted((row["gpus"], row["useful"], row["useful_daly"]) for row in rows if row["mtbf_h"] == mtbf_h)
        gpus, useful, daly = zip(*line, strict=True)
        [drawn] = axis.semilogx(gpus, daly, "-", label=f"{mtbf_h:,.0f} h between faults of a GPU")
        axis.semilogx(gpus, useful, "o", color=drawn.get_color())
    axis.set(xlabel="H100s", ylabel="useful share of training's time", xticks=gpus)
    axis.set_xticklabels([str(number) for number in gpus])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis.set_title("Faults: simulated (points) and Daly's closed form (lines)", fontsize=10)
    save(figure, path)


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
