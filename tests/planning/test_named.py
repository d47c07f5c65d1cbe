"""A plan for a cluster names its GPU; nothing is measured on this machine for another one."""

import pytest

from v4e.config import parse
from v4e.faults import Fault
from v4e.planning.gpus import check_named

WAN = "recipe=wan14b_480p"


@pytest.mark.parametrize(
    ("arguments", "here", "words"),
    [
        ([WAN, "plan.gpus=16"], False, "plan.gpus=16 without plan.gpu"),
        ([WAN, "plan.gpus=16"], True, "plan.gpus=16 without plan.gpu"),
        (["plan.host_gib=100"], False, "plan.host_gib=100.0 without plan.gpu"),
        ([WAN], False, "train.gpus_per_worker=1 without plan.gpu"),
        ([WAN, "plan.train_tflops=400"], False, "train.gpus_per_worker=1 without plan.gpu"),
    ],
)
def test_a_plan_without_its_gpu_is_refused_at_once(arguments, here, words):
    with pytest.raises(Fault, match="name the GPU to plan for, such as plan.gpu=h100") as error:  # noqa: RUF043
        check_named(parse(arguments), here)
    assert error.value.code == "T14" and words in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        ([], False),
        ([WAN, "plan.gpu=h100", "plan.gpus=16"], False),
        ([WAN], True),
        ([WAN, "plan.train_tflops=400", "plan.infer_tflops=500"], False),
        ([WAN, "plan.train_tflops=400", "kd.weight=0"], False),
    ],
)
def test_a_plan_that_can_be_made_is(arguments, here):
    check_named(parse(arguments), here)
