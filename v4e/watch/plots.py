"""The curves of a run as inline SVG: losses with their alarms, samples, where the time went, the teacher pool."""

import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from v4e.files.journal import Record
from v4e.method.losses import TERMS
from v4e.watch.alarms import Alarm

ACCENT, SOFT, LINE = "#d9480f", "#888888", "#88888844"
MODELS = {"student": "#1c7ed6", "ema": ACCENT, "teacher": "#2f9e44", "source": SOFT}
PARTS = {"student": "#1c7ed6", "wait": ACCENT, "io": "#2f9e44", "strips": SOFT}
EVENTS = {
    "restarts": "teacher replicas started again",
    "grown": "replicas added, because students waited",
    "shrunk": "idle replicas ended",
    "retries": "requests asked again",
    "hedged": "requests that a second replica was asked",
}
TIMES = ("seconds", "wait_s", "io_s", "watch_s")
BINS = 60  # of the shares over time


def losses(records: Sequence[Record], alarms: Sequence[Alarm]) -> str:
    """Thin lines are steps, thick ones a running mean; a dashed line is an alarm. Empty where there is no loss."""
    terms = [term for term in TERMS if records and term in records[-1]]
    if not terms:
        return ""
    figure, axes = plt.subplots(1, len(terms), figsize=(4.2 * len(terms), 2.6), squeeze=False)
    steps = [r["step"] for r in records]
    for axis, term in zip(axes[0], terms, strict=True):
        values = np.array([r.get(term, np.nan) for r in records], float)
        values[~np.isfinite(values)] = np.nan
        window = max(1, len(values) // 40)
        mean = np.convolve(values, np.ones(window) / window, "valid")
        axis.plot(steps, values, color=SOFT, alpha=0.5, linewidth=0.5)
        axis.plot(steps[len(steps) - len(mean) :], mean, color=ACCENT, linewidth=1.6)
        axis.set_yscale("log")
        for alarm in alarms:
            if alarm.kind == "not finite" or alarm.text.startswith(f"{term} "):
                axis.axvline(alarm.step, color=SOFT, linewidth=1, linestyle="--")
        _dress(axis, TERMS[term])
    return _svg(figure)


def samples(strips: Sequence[Record], alarms: Sequence[Alarm]) -> str:
    """PSNR outside the edit and L1 inside it over the strips; level lines are the teacher and the source. A dashed
    line is an alarm: the student drifts."""
    figures = [("preserve_psnr", "PSNR outside the edit, dB"), ("edit_l1", "L1 inside the edit")]
    figures = [(key, title) for key, title in figures if any(f"{key}_ema" in r for r in strips)]
    if not figures:
        return ""
    figure, axes = plt.subplots(1, len(figures), figsize=(4.2 * len(figures), 2.6), squeeze=False)
    for axis, (key, title) in zip(axes[0], figures, strict=True):
        for name, color in MODELS.items():
            shown = [(r["step"], r[f"{key}_{name}"]) for r in strips if f"{key}_{name}" in r]
            if name == "source" and key == "preserve_psnr":  # the source itself: beyond measure
                continue
            if not shown:
                continue
            level = name in ("teacher", "source")
            axis.plot(
                *zip(*shown, strict=True),
                color=color,
                linewidth=1 if level else 1.6,
                linestyle="--" if level else "-",
                marker="" if level else ".",
                label={"ema": "EMA"}.get(name, name),
            )
        for alarm in alarms:
            if alarm.kind == "drift" and key == "preserve_psnr":
                axis.axvline(alarm.step, color=SOFT, linewidth=1, linestyle="--")
        _legend(axis)
        _dress(axis, title)
    return _svg(figure)


def time_shares(records: Sequence[Record]) -> str:
    """Draws rank 0's shares of the time over the steps: computing, waiting for the teacher, reading, making strips."""
    shown = [r for r in records if "wait_s" in r]
    if not shown:
        return ""
    bins = [part for part in np.array_split(np.arange(len(shown)), min(BINS, len(shown))) if len(part)]
    sums = {key: np.array([sum(shown[i].get(key, 0.0) for i in part) for part in bins]) for key in TIMES}
    total = np.maximum(sums["seconds"], 1e-9)
    shares = {"wait": sums["wait_s"] / total, "io": sums["io_s"] / total, "strips": sums["watch_s"] / total}
    shares = {"student": np.maximum(0, 1 - sum(shares.values())), **shares}
    steps = [shown[part[-1]]["step"] for part in bins]
    figure, axis = plt.subplots(figsize=(8.4, 2.2))
    if len(steps) == 1:  # an area needs two ends
        steps, shares = [0, *steps], {name: np.repeat(share, 2) for name, share in shares.items()}
    axis.stackplot(steps, list(shares.values()), labels=list(shares), colors=[PARTS[n] for n in shares], alpha=0.75)
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _legend(axis)
    _dress(axis, "time of a step")
    return _svg(figure)


def pool(records: Sequence[Record]) -> str:
    """Teacher replicas and their queue over the steps, a line where something happened; empty without a teacher."""
    shown = [r for r in records if r.get("replicas")]
    if not shown:
        return ""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.2))
    steps = [r["step"] for r in shown]
    for axis, key, title in zip(axes, ("replicas", "queue"), ("teacher replicas", "requests at them"), strict=True):
        axis.plot(steps, [r[key] for r in shown], color=ACCENT, linewidth=1.2, drawstyle="steps-post")
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.set_ylim(bottom=0)
        _dress(axis, title)
    for step, key, _ in pool_events(records):
        axes[0].axvline(step, color=SOFT, linewidth=1, linestyle=":" if key == "shrunk" else "--")
    return _svg(figure)


def pool_events(records: Sequence[Record]) -> list[tuple[int, str, int]]:
    """(step, what, how many) wherever a count of the pool rose; ``what`` is one of EVENTS."""
    events, before = [], dict.fromkeys(EVENTS, 0.0)
    for record in records:
        for key in EVENTS:
            count = record.get(key, before[key])
            rose = count - before[key] if count >= before[key] else count  # a pool that died counts from 0 again
            if rose > 0:
                events.append((int(record["step"]), key, int(rose)))
            before[key] = count
    return events


def _dress(axis: Axes, title: str) -> None:
    """Readable on light and on dark ground."""
    axis.set_title(title, fontsize=10, color=SOFT)
    axis.tick_params(which="both", colors=SOFT, labelsize=8)
    axis.margins(x=0.01)
    for spine in axis.spines.values():
        spine.set_color(LINE)


def _legend(axis: Axes) -> None:
    axis.legend(fontsize=8, labelcolor=SOFT, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _svg(figure) -> str:
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True)
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
