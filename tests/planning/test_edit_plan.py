"""The plan of an edit on a small GPU: the editor's own plan where all stays, less where something leaves."""

import json
from dataclasses import replace

import pytest

from pipelines.stages import plan_edit
from v4e.config import Config, parse
from v4e.config.commands import PlanEditOptions, read_options
from v4e.models.sizes import pipeline
from v4e.planning.editing import EditTask, EditWay, best, ways
from v4e.planning.frozen_memory import editor_memory
from v4e.planning.gpus import Cluster, cluster_of
from v4e.planning.work import Reads

TASK = EditTask(height=720, width=1280, frames=5, steps=8, guidance=1.0)


def planned(gpu: str, task: EditTask = TASK) -> tuple[Config, Cluster, list[EditWay]]:
    config = parse(["recipe=wan14b_720p", f"plan.gpu={gpu}", "eval.batch=1"])
    cluster = cluster_of(config.plan)
    assert cluster is not None
    return config, cluster, list(ways(config, pipeline(config.models.student, "models.student"), task, cluster))


def test_where_all_stays_it_is_the_editors_plan():
    config, _, found = planned("h100")
    size = config.data
    config = replace(config, data=replace(size, height=720, width=1280, frames=5))
    model = pipeline(config.models.student, "models.student")
    reads = Reads(clip=2 * 45 * 80, text=13, image=model.image_tokens)
    whole = editor_memory(config, model.dit, reads, image_tokens=model.image_tokens)
    assert found[0].options == "dtype=bfloat16" and found[0].peak == whole.total


@pytest.mark.parametrize(
    ("gpu", "take"),
    [
        ("h100", "dtype=bfloat16"),
        ("rtx4090", "dtype=bfloat16 away=blocks"),
        ("rtx4080", "dtype=bfloat16 away=blocks tiles=true"),
    ],
)
def test_the_fastest_exact_way_that_fits_is_taken(gpu, take):
    _, cluster, found = planned(gpu)
    chosen = best(found, cluster)
    assert chosen is not None and chosen.options == take and chosen.peak <= cluster.usable


def test_what_leaves_is_not_held_and_is_waited_for():
    _, _, found = planned("rtx4090")
    stays, models, blocks = found[:3]
    assert stays.peak > models.peak > blocks.peak and models.encoders == blocks.encoders < stays.encoders
    assert stays.copy_s == 0 < min(models.copy_s, blocks.copy_s)
    assert models.compute_s == stays.compute_s
    tiled = next(way for way in found if way.tiles and way.away == "blocks")
    assert tiled.vae < blocks.vae / 5 and tiled.dit == blocks.dit


def test_guidance_and_steps_are_passes_and_blocks_are_copied_in_each():
    twice = planned("h100", replace(TASK, guidance=4.0))[2]
    longer = planned("h100", replace(TASK, steps=16))[2]
    assert [way.seconds for way in twice] == pytest.approx([way.seconds for way in longer])
    assert longer[2].copy_s > planned("h100")[2][2].copy_s


def test_frames_that_leave_early_cost_less_and_nothing_more_is_decoded():
    longer = replace(TASK, frames=9)
    whole, dropped, short = (planned("h100", t)[2][0] for t in (longer, replace(longer, middle_steps=2), TASK))
    assert short.compute_s < dropped.compute_s < 1.3 * short.compute_s < whole.compute_s
    assert dropped.peak == whole.peak
    # A shorter pass hides less of the copies of blocks.
    copies = [planned("h100", t)[2][2].copy_s for t in (longer, replace(longer, middle_steps=2), TASK)]
    assert copies[0] < copies[1] < copies[2]


def test_the_command_prints_the_same_for_people_and_for_programs(capsys):
    plan_edit.run(read_options(PlanEditOptions, ["gpu=rtx4090", "size=1280x720", "json=true"]))
    found = json.loads(capsys.readouterr().out)
    plan_edit.run(read_options(PlanEditOptions, ["gpu=rtx4090", "size=1280x720"]))
    said = " ".join(capsys.readouterr().out.split())
    assert found["take"] in said and len(found["ways"]) == 10
    assert all(f"{way['gib']['peak']:.1f} GiB" in said and f"{way['seconds']:.1f} s" in said for way in found["ways"])
    assert any(way["fits"] for way in found["ways"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": "big"}, "size=big"),
        ({"size": "1280x"}, "size=1280x"),
        ({"size": "1281x720"}, "size=1281x720"),
        ({"size": "0x720"}, "size=0x720"),
        ({"frames": 6}, "frames"),
        ({"steps": 0}, "steps=0"),
        ({"middle_steps": 8}, "middle_steps=8"),
        ({"middle_steps": 2}, "frames=9 or more"),
        ({"gpu": "voodoo"}, "voodoo"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        plan_edit.run(PlanEditOptions(**arguments))
