"""The start of vLLM in the process of an actor, for captioners and judges.

The engine lives in the actor's own process, so that Ray restarts it when it dies.
An engine in a child process, which is vLLM's default, can hang.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

CACHE_CPU = 256 << 20  # bytes of the key-value cache on CPU


def environment(model: str, gpus: int, threads: int = 1) -> dict[str, str]:
    """The environment of a process that runs `model`; it must be set before vLLM is imported."""
    env = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if not gpus:
        # by default every CPU engine of a node binds itself to the same core
        env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads)}
    if not model or Path(model).exists():
        env["HF_HUB_OFFLINE"] = "1"
    return env


def start(model: str, *, gpus: int, ranks: int, seqs_cpu: int, **options: Any) -> "VllmEngine":
    """Starts vLLM on `ranks` processes, on CPU where `gpus` is 0; `options` are further ones of ``vllm.LLM``.

    On CPU at most `seqs_cpu` sequences run at a time.

    Raises:
        RuntimeError: vLLM cannot be imported.
    """
    try:
        from vllm import LLM
        from vllm.utils.network_utils import get_open_port
    except (ImportError, OSError, RuntimeError) as error:
        raise RuntimeError(
            f"vLLM cannot be imported ({error}): on CPU install it by scripts/install-cpu.sh, which "
            "leaves out torchvision, torchaudio and torchcodec; on GPU by pip install -e .[gpu]"
        ) from error
    cpu = gpus == 0
    if ranks == 1:
        own = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(get_open_port())}
        os.environ |= own
    llm = LLM(
        model=model,
        tensor_parallel_size=ranks,
        # The only executor that compiles grammars before it schedules, and so schedules the same prompts the same
        # way each time: a batch that runs again gives the same texts.
        distributed_executor_backend="external_launcher" if ranks == 1 else "mp",
        use_tqdm_on_load=False,
        enforce_eager=cpu,  # compiling takes minutes on CPU and gains nothing there
        max_num_seqs=seqs_cpu if cpu else 256,
        kv_cache_memory_bytes=CACHE_CPU if cpu else None,
        **options,
    )
    executor: Any = llm.llm_engine.model_executor
    executor.register_failure_callback(_end)  # vLLM watches its ranks, also while the engine is idle
    return VllmEngine(llm, [rank.proc for rank in executor.workers] if ranks > 1 else [])


class VllmEngine:
    """A started vLLM. If one of its `ranks` (processes) dies, this process ends."""

    def __init__(self, llm: Any, ranks: Sequence[Any]) -> None:
        self.llm, self.ranks = llm, ranks

    def generate(self, prompts: Sequence[Any], params: Any) -> list:
        """``LLM.generate``: continues each prompt."""
        return self._run(self.llm.generate, prompts, params)

    def chat(self, chats: Sequence[Any], params: Any, lora: Any = None) -> list:
        """``LLM.chat``: answers each conversation."""
        return self._run(self.llm.chat, chats, params, lora_request=lora)

    def _run(self, call: Any, *args: Any, **options: Any) -> list:
        try:
            return call(*args, use_tqdm=False, **options)
        except Exception:  # vLLM reports a dead rank in several ways, also as an error of another rank
            if all(rank.is_alive() for rank in self.ranks):
                raise
            _end()


def _end() -> NoReturn:
    """Ends this process: a model that lost a rank does not recover in it, but Ray restarts the actor."""
    os._exit(1)
