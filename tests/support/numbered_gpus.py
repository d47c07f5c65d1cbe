"""GPUs by number only: Ray hands them out, and torch keeps in host memory whatever is sent to them.

:func:`pretend` is a setup hook of Ray's workers. Our own code then runs as on GPUs: it asks what was reserved, chooses
``cuda``, and moves its models there. Each process that has sent something to a GPU leaves a record of what it reserved.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypedDict

RECORDS = "V4E_TEST_GPU_RECORDS"  # a folder
MAKERS = ("empty", "zeros", "ones", "full", "tensor", "as_tensor", "arange", "linspace", "rand", "randn", "empty_like")


class Used(TypedDict):
    """A process that used a GPU."""

    title: str  # as Ray sets it: ray::Class
    node: str
    reserved: list[str]  # ids of GPUs
    visible: str  # CUDA_VISIBLE_DEVICES


def take_records(folder: Path) -> list[Used]:
    """The records in `folder`, in no order; they are taken away."""
    found = []
    for path in folder.glob("*.json"):
        found.append(json.loads(path.read_text()))
        path.unlink()
    return found


def pretend() -> None:
    """Makes torch of this process believe in the GPUs that it is shown."""
    import torch
    import torch.distributed as dist
    import torch.utils._device
    from torch.distributed import device_mesh

    # ``with torch.device("meta")`` keeps a list of these functions, which must hold torch's own: transformers loads
    # models under it, and else leaves memory that nobody wrote in their buffers.
    torch.utils._device._device_constructors()
    host, recorded = torch.device("cpu"), threading.Event()

    def record() -> None:
        if not recorded.is_set():
            recorded.set()
            import psutil
            import ray

            context = ray.get_runtime_context()
            title = psutil.Process().cmdline()[0].strip()
            used = Used(
                title=title,
                node=context.get_node_id(),
                reserved=sorted(map(str, ray.get_gpu_ids())),
                visible=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            )
            Path(os.environ[RECORDS], f"{context.get_node_id()}-{os.getpid()}.json").write_text(json.dumps(used))

    def on_host(value: Any) -> Any:
        if (isinstance(value, torch.device) and value.type == "cuda") or (
            isinstance(value, str) and value.split(":")[0] == "cuda"
        ):
            record()
            return host
        return value

    def to_host(function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with the CPU in the place of a GPU among its arguments."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*map(on_host, args), **{name: on_host(value) for name, value in kwargs.items()})

        return call

    # No mode of torch's: modes are of one thread, and a replica answers in threads that Ray makes.
    for name in MAKERS:
        setattr(torch, name, to_host(getattr(torch, name)))
    torch.Tensor.to = to_host(torch.Tensor.to)
    torch.nn.Module.to = to_host(torch.nn.Module.to)

    class Nothing:
        """A stream or an event: what is on the host is done when the call returns."""

        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __enter__(self) -> "Nothing":
            return self

        def __exit__(self, *_: Any) -> None: ...
        def query(self) -> bool:
            return True

        def record_event(self, *_: Any) -> "Nothing":
            return self

        record = wait = wait_stream = wait_event = synchronize = __init__

    cuda = torch.cuda
    # Asked anew each time: Ray sets the variable after this hook, when it gives the process an actor.
    cuda.device_count = lambda: len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name])
    cuda.is_available = lambda: cuda.device_count() > 0
    cuda.is_initialized = lambda: True
    cuda.current_device = lambda: 0
    # An object of its own for each name: torch's compiler keeps a table of them.
    for name in ("Stream", "Event"):
        setattr(cuda, name, type(name, (Nothing,), {}))
    for name in ("current_stream", "default_stream"):
        setattr(cuda, name, lambda *_: Nothing())
    for name in ("stream", "device"):
        setattr(cuda, name, lambda *_: contextlib.nullcontext())
    for name in ("set_device", "synchronize", "empty_cache"):
        setattr(cuda, name, lambda *_: None)
    for name, method in (("pin_memory", lambda self, *_: self), ("record_stream", lambda self, *_: None)):
        setattr(torch.Tensor, name, method)
    mesh = device_mesh.init_device_mesh
    device_mesh.init_device_mesh = lambda device_type, *shape, **how: mesh(str(on_host(device_type)), *shape, **how)
    join = dist.init_process_group
    # Gloo does for these tensors what NCCL would.
    dist.init_process_group = lambda backend=None, **how: join(str(backend).replace("cuda:nccl", "cuda:gloo"), **how)
