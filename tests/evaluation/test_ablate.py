"""Ablations: verdicts against numbers worked by hand, what the variants change, and a short run of two of them."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.parts.variants import UNTRAINED, VariantRun, changed, finished, variant_runs
from pipelines.stages.ablate import CLAIMS, VARIANTS, ablate
from v4e.config import Config, parse
from v4e.evaluation.verdict import claim_table, figure_table, markdown, over_seeds, spread, verdict
from v4e.files.uri import read_json, write_json_atomic

# Verdicts


@pytest.mark.parametrize(
    ("higher", "lower", "word", "difference", "error"),
    [
        # variances .01 and .01: error sqrt(.02 / 3) = .08165, twice it .1633
        ((0.5, 0.6, 0.7), (0.3, 0.4, 0.5), "holds", 0.2, 0.0816497),
        ((0.3, 0.4, 0.5), (0.5, 0.6, 0.7), "opposite", -0.2, 0.0816497),
        ((0.5, 0.6, 0.7), (0.4, 0.5, 0.6), "not decided", 0.1, 0.0816497),
        # variances 1 and 4, of 2 and 4 seeds: error sqrt(.5 + 1) = 1.2247
        ((3.0, 3.0 + math.sqrt(2)), (0.0, 0.0, 0.0, 4.0), "holds", 2.7071068, 1.2247449),
        # no spread at all: any difference decides, none does not
        ((0.1, 0.1, 0.1), (0.0, 0.0, 0.0), "holds", 0.1, 0.0),
        ((0.1, 0.1, 0.1), (0.1, 0.1, 0.1), "not decided", 0.0, 0.0),
    ],
)
def test_a_claim_is_decided_by_twice_the_standard_error(higher, lower, word, difference, error):
    found = verdict(higher, lower)
    assert found.word == word
    assert found.difference == pytest.approx(difference, abs=1e-7)
    assert found.error == pytest.approx(error, abs=1e-7)
    assert found.seeds == min(len(higher), len(lower))


def test_one_seed_decides_nothing():
    assert str(verdict([0.9], [0.1, 0.2])) == "not decided: +0.750 no spread, n = 1"
    with pytest.raises(ValueError, match="0 and 1 figures"):
        verdict([], [0.1])


def test_spread_is_of_the_sample_and_knows_what_is_missing():
    assert spread([1.0, 2.0, 4.0]) == {"mean": 2.3333, "std": 1.5275, "seeds": [1.0, 2.0, 4.0]}
    assert spread([0.5]) == {"mean": 0.5, "std": None, "seeds": [0.5]}
    assert spread([None, None]) == {"mean": None, "std": None, "seeds": [None, None]}


def evaluation(success: float) -> dict:
    figures = {"success": success, "edit_l1": 0.1, "preserve_psnr": 30.0, "n": 2}
    return {"overall": figures, "by_task": {"style": figures | {"preserve_psnr": None}}}


def test_tables_hold_every_variant_and_only_claims_that_have_figures():
    figures = {
        "full": over_seeds([evaluation(s) for s in (0.5, 0.6, 0.7)]),
        "native": over_seeds([evaluation(s) for s in (0.3, 0.4, 0.5)]),
    }
    assert figures["full"]["by_task"]["style"]["preserve_psnr"]["mean"] is None
    assert figure_table(figures).rows[1] == ("native", "0.400 ± 0.100", "0.100 ± 0.000", "30.000 ± 0.000", "3")
    [(words, compared, found)] = claim_table(figures, CLAIMS).rows
    assert compared == "full > native" and found == "holds: +0.200 ± 0.082, n = 3"
    assert f"| {words} | full > native | {found} |" in markdown(claim_table(figures, CLAIMS))


# Variants


def flat(config: Config) -> dict[str, object]:
    sections = asdict(config)
    sections.pop("recipe")
    return {f"{section}.{key}": value for section, fields in sections.items() for key, value in fields.items()}


def test_each_variant_differs_from_full_in_what_its_name_says():
    config = parse([])
    full = flat(changed(config, VARIANTS["full"]))
    assert full == flat(config)
    differences = {
        name: {key: value for key, value in flat(changed(config, changes)).items() if value != full[key]}
        for name, changes in VARIANTS.items()
        if name != "full"
    }
    assert differences == {
        "no_kd": {"kd.weight": 0},
        "no_tail": {"tail.weight": 0},
        "no_icg": {"teacher.text": "instruction"},
        "tail_power_0": {"tail.power": 0},
        "plain_fm": {"kd.weight": 0, "tail.weight": 0, "flow.weight": 1},
        "full_and_fm": {"flow.weight": 1},
    }


def test_claims_are_about_what_is_run():
    assert {name for better, worse, _ in CLAIMS for name in (better, worse)} <= {*VARIANTS, *UNTRAINED}


def test_jobs_share_budget_and_data_and_have_folders_and_seeds_of_their_own():
    config = parse(["run.dir=runs/a", "run.seed=5", "optim.steps=7"])
    todo = variant_runs(config, VARIANTS, 2)
    assert len(todo) == 2 * (len(VARIANTS) + 1)
    assert len({job.config.run.dir for job in todo}) == len(todo)
    assert [job.seed for job in todo] == [5] * 8 + [6] * 8
    assert todo[8].config.run.dir == "runs/a/full-seed6" and todo[8].config.run.seed == 6
    assert len({repr((job.config.optim, job.config.data, job.config.sample, job.config.eval)) for job in todo}) == 1
    assert todo[0].config.data.store == "runs/a/store"


@pytest.mark.slow
def test_figures_of_other_settings_are_refused_and_of_the_same_are_kept(tmp_path):
    config = parse([f"run.dir={tmp_path / 'a'}"])
    first = variant_runs(config, VARIANTS, 1)[0]
    assert not finished(first)
    write_json_atomic(first.uri("made-by.json"), first.settings)
    assert not finished(first)
    write_json_atomic(first.uri("metrics.json"), {})
    assert finished(first)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = parse([f"run.dir={tmp_path / 'b'}", "teacher.replicas=2"])
    assert finished(variant_runs(moved, VARIANTS, 1)[0])
    for option in ("teacher.payload=fp8", "teacher.tokens=tail", "optim.lr=1"):
        other = parse([f"run.dir={tmp_path / 'b'}", option])
        key = option.partition("=")[0]
        with pytest.raises(ValueError, match=rf"full-seed0 .*: {key} differ.*run\.overwrite=true"):
            finished(variant_runs(other, VARIANTS, 1)[0])
    assert not finished(variant_runs(replace(other, run=replace(other.run, overwrite=True)), VARIANTS, 1)[0])


FREE = ("plan.price=2", "plan.gpu=h200", "train.notice=false", "caption.max_actors=2", "train.checkpoint_minutes=3")


@pytest.mark.slow
@pytest.mark.parametrize("option", [*FREE, "data.max_pixels=100000000", "scale.cores=8", "data.max_aspect=3"])
def test_a_setting_that_decides_no_figure_may_change_between_two_calls(option, tmp_path):
    job = planned_first(tmp_path)
    write_json_atomic(job.uri("made-by.json"), job.settings)
    write_json_atomic(job.uri("metrics.json"), {})
    assert finished(planned_first(tmp_path, option))


@pytest.mark.parametrize("option", ["optim.lr=1", "kd.weight=2", "sample.steps=3", "data.limit=7", "export.step=9"])
def test_a_setting_that_decides_a_figure_refuses_the_runs_made_without_it(option, tmp_path):
    job = planned_first(tmp_path)
    write_json_atomic(job.uri("made-by.json"), job.settings)
    write_json_atomic(job.uri("metrics.json"), {})
    with pytest.raises(ValueError, match=rf"{option.partition('=')[0]} differ"):
        finished(planned_first(tmp_path, option))


def planned_first(folder: Path, *options: str) -> VariantRun:
    """The first job of an ablation."""
    return variant_runs(parse([f"run.dir={folder}", *options]), VARIANTS, 1)[0]


def test_a_folder_of_a_training_run_is_refused(tmp_path):
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run\.dir=runs/ablate"):
        ablate(parse([f"run.dir={tmp_path}"]), VARIANTS, 1)


# A whole run


@pytest.fixture
def short(tmp_path: Path, random_family: Path) -> Config:
    """Two steps on one triplet a task, captioned by Table 1's templates."""
    from pipelines.stages.caption import _prompt_hash
    from v4e.captions.small_llm import model_name
    from v4e.captions.templates import template_caption
    from v4e.data.captions_table import read_instructions, write_captions
    from v4e.data.store.paths import captions_uri
    from v4e.tiny.world.write import write_split

    splits = {split: str(tmp_path / f"{split}.parquet") for split in ("train", "heldout")}
    for split, path in splits.items():
        write_split(path, split, 1, 0)
    config = parse(
        [
            f"run.dir={tmp_path / 'ablate'}",
            f"data.train={splits['train']}",
            f"data.heldout={splits['heldout']}",
            f"models.student={random_family / 'tiny-wan-i2v'}",
            f"models.teacher={random_family / 'tiny-wan-flf2v'}",
            *("optim.steps=2", "optim.batch=2", "teacher.steps=2", "sample.steps=2", "precompute.actors=1"),
            *("precompute.readers=1", "eval.actors=1"),
        ]
    )
    model = model_name(config.caption.model)
    made_by = {"model": model, "prompt_hash": _prompt_hash(config, model), "origin": "template", "checks": []}
    rows = [
        {"id": i, "instruction": text, "caption": template_caption(text, task), "task": task, "task_source": "corpus"}
        for i, text, task in read_instructions(splits["train"])
    ]
    write_captions(captions_uri(config), [row | made_by for row in rows])
    return config


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_two_variants_end_to_end_and_again(cluster, short: Config, capsys: pytest.CaptureFixture):
    folder = Path(short.run.dir)
    variants = {name: VARIANTS[name] for name in ("full", "no_icg")}
    ablate(short, variants, 1)
    figures = read_json(str(folder / "metrics.json"))
    assert list(figures) == ["full", "no_icg", "native", "base_caption", "copy"]
    for row in figures.values():
        assert set(row) == {"success", "edit_l1", "preserve_psnr", "by_task"} and len(row["by_task"]) == 11
        assert set(row["edit_l1"]) == {"mean", "std", "seeds"} and len(row["edit_l1"]["seeds"]) == 1
    assert figures["copy"]["success"]["seeds"] == [0.0]
    assert len(list((folder / "store" / "rollouts").iterdir())) == 2
    page = (folder / "ablate.md").read_text()
    assert "full > no_icg | not decided" in page and "full > no_kd" not in page

    made = {path: path.stat().st_mtime_ns for path in folder.glob("*-seed0/**/*") if path.is_file()}
    capsys.readouterr()
    ablate(short, variants, 1)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*-seed0/**/*") if path.is_file()} == made
    assert "0 of 3 runs" in capsys.readouterr().out
    assert read_json(str(folder / "metrics.json")) == figures
