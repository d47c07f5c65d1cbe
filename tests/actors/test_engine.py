"""The start of vLLM, against a stand-in: captioner and judge get the same executor, and end with any of their ranks."""

import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from actors.llm import engine
from actors.llm.judge import VlmJudge
from actors.llm.vllm import VllmModel
from v4e.config import Caption, Judge


class Ended(BaseException):
    """The end of the process, as an exception."""


class Rank:
    def __init__(self) -> None:
        self.alive = True
        self.proc = SimpleNamespace(is_alive=lambda: self.alive)


class FakeLlm:
    """Remembers its arguments; `fault` is what its calls raise."""

    def __init__(self, **options) -> None:
        self.options, self.fault = options, None
        self.ranks = [Rank() for _ in range(options["tensor_parallel_size"])]
        self.watchers: list = []
        executor = SimpleNamespace(workers=self.ranks, register_failure_callback=self.watchers.append)
        self.llm_engine = SimpleNamespace(model_executor=executor)

    def generate(self, prompts, params, use_tqdm):
        if self.fault:
            raise self.fault
        return list(prompts)

    def chat(self, chats, params, use_tqdm, lora_request):
        return self.generate(chats, params, use_tqdm)


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    def die(status: int) -> None:
        raise Ended(status)

    parts = {
        "vllm": {"LLM": FakeLlm, "SamplingParams": dict},
        "vllm.utils": {},
        "vllm.utils.network_utils": {"get_open_port": lambda: 4321},
        "vllm.sampling_params": {"StructuredOutputsParams": dict},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": lambda *args: args},
    }
    for name, members in parts.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(os, "_exit", die)


def captioner(gpus: int) -> VllmModel:
    return VllmModel(Caption(model="m", gpus=gpus))


def judge(gpus: int) -> VlmJudge:
    return VlmJudge(Judge(kind="vllm", model="m", gpus=gpus))


@pytest.mark.parametrize(("start", "most"), [(captioner, 64), (judge, 16)])
def test_captioner_and_judge_start_the_same_engine(start, most):
    llm = start(0).engine.llm
    assert llm.options["distributed_executor_backend"] == "external_launcher"
    assert (llm.options["enforce_eager"], llm.options["max_num_seqs"]) == (True, most)
    assert (os.environ["RANK"], os.environ["LOCAL_RANK"], os.environ["MASTER_PORT"]) == ("0", "0", "4321")
    (watcher,) = llm.watchers
    with pytest.raises(Ended):
        watcher()
    options = start(2).engine.llm.options
    assert (options["distributed_executor_backend"], options["tensor_parallel_size"]) == ("mp", 2)
    assert (options["enforce_eager"], options["kv_cache_memory_bytes"]) == (False, None)
    assert options["max_num_seqs"] == 256


@pytest.mark.parametrize("call", ["generate", "chat"])
def test_an_error_ends_the_process_only_where_a_rank_has_died(call):
    started = engine.start("m", gpus=2, ranks=2, seqs_cpu=1)
    ask = getattr(started, call)
    assert ask(["a", "b"], None) == ["a", "b"]
    started.llm.fault = ValueError("too long a prompt")
    with pytest.raises(ValueError, match="too long"):
        ask(["a"], None)
    started.llm.ranks[1].alive = False
    with pytest.raises(Ended):
        ask(["a"], None)


def test_without_vllm_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RuntimeError, match=r"vLLM cannot be imported .*scripts/install-cpu\.sh.*\.\[gpu\]"):
        engine.start("m", gpus=0, ranks=1, seqs_cpu=1)
