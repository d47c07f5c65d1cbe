"""Makes torch's CPU build believe in one CUDA device, good for fake tensors alone.

torch's fake tensors can say that they are on "cuda". Layers, autograd and FSDP2 ask for the device itself: shim.cpp
answers them in C++, and must be loaded before torch. The function `pretend` answers what Python asks for.
"""

import contextlib
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from v4e.files.uri import unfinished

HERE = Path(__file__).parent
WAITS: Counter[str] = Counter()  # calls of the host that wait for the device


def torch_folder() -> Path:
    """The folder of the installed torch, which is not imported."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def build() -> Path:
    """Compiles shim.cpp for the installed torch, once a machine; returns the library.

    Raises:
        FileNotFoundError: there is no C++ compiler.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise FileNotFoundError("no C++ compiler: install g++, or name one in CXX")
    source, torch = HERE / "shim.cpp", torch_folder()
    key = hashlib.sha256(source.read_bytes() + importlib.metadata.version("torch").encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "v4e"
    library = cache / f"pretended-{key}.so"
    if not library.exists():
        include = torch / "include"
        folders = ("-I", str(include), "-I", str(include / "torch" / "csrc" / "api" / "include"))
        command = [compiler, "-shared", "-fPIC", "-O1", "-std=c++20", *folders, str(source), "-o"]
        with unfinished(library) as own:
            subprocess.run([*command, str(own)], check=True)
    return library


def pretend(library: Path) -> None:
    """Loads `library`, imports torch, and answers for ``torch.cuda``. A process that did this is good for nothing else.

    Raises:
        RuntimeError: torch was imported before.
    """
    if "torch" in sys.modules:
        raise RuntimeError("a pretended device must come before torch: call this first in a new process")
    for path in (torch_folder() / "lib" / "libc10.so", torch_folder() / "lib" / "libtorch_cpu.so", library):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    sys.path.append(str(HERE / "stubs"))  # flash_attn
    import torch
    import torch._dynamo  # before the replacements below, of which it would make a table
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
    from torch.optim.optimizer import _foreach_supported_types as by_optimizers
    from torch.utils._foreach_utils import _foreach_supported_types as by_others

    for types in (by_optimizers, by_others):  # that take many tensors in one call, as on a GPU
        types.append(FakeTensor)
    FakeTensorMode.avoid_device_init = property(lambda _mode: True)
    torch.inference_mode = _inference_mode
    torch.nn.Module._apply = _apply
    cuda = torch.cuda
    cuda.is_available = cuda.is_initialized = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.set_device = cuda.empty_cache = cuda._lazy_init = lambda *_: None
    cuda.get_device_name = lambda _device=None: "NVIDIA H100 80GB HBM3"
    cuda.get_device_capability = lambda _device=None: (9, 0)
    cuda.Stream, cuda.Event = Stream, Event
    cuda.current_stream = cuda.default_stream = torch.accelerator.current_stream = lambda _device=None: Stream()
    cuda.stream = lambda _stream: contextlib.nullcontext()
    torch.Tensor.record_stream = lambda *_: None
    cuda.synchronize = lambda _device=None: WAITS.update(["torch.cuda.synchronize"])


class Stream:
    """A stream on which nothing runs."""

    def __init__(self, *_arguments: object, **_options: object) -> None: ...
    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_error: object) -> None: ...
    def wait_stream(self, _stream: "Stream") -> None: ...
    def wait_event(self, _event: "Event") -> None: ...
    def record_event(self, _event: "Event | None" = None) -> "Event":
        return Event()

    def synchronize(self) -> None:
        WAITS["Stream.synchronize"] += 1

    def query(self) -> bool:
        return True

    def is_capturing(self) -> bool:
        return False


class Event:
    """An event that has happened."""

    def __init__(self, *_arguments: object, **_options: object) -> None: ...
    def record(self, *_arguments: object) -> None: ...
    def wait(self, *_arguments: object) -> None: ...
    def synchronize(self) -> None:
        WAITS["Event.synchronize"] += 1

    def query(self) -> bool:
        return True

    def elapsed_time(self, _other: "Event") -> float:
        return 1.0


def _inference_mode(mode=True):
    """``no_grad`` instead: in inference mode composite operators reach dispatch modes undivided."""
    import torch

    if callable(mode):
        return torch.no_grad()(mode)
    return torch.no_grad() if mode else contextlib.nullcontext()


def _apply(module, function, recurse=True):
    """``Module._apply`` with new parameters, since a fake tensor cannot change its device. What is tied stays so."""
    import torch

    made = function.__dict__.setdefault("made", {})  # by the parameter; one call of ``to`` has one function
    for child in module.children() if recurse else ():
        child._apply(function)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            if parameter not in made:
                with torch.no_grad():
                    new = function(parameter)
                same = new is parameter
                made[parameter] = parameter if same else torch.nn.Parameter(new, parameter.requires_grad)
            module._parameters[name] = made[parameter]
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


@contextlib.contextmanager
def replaced(owner: object, **values: object) -> Iterator[None]:
    """`owner` with other attributes while the block runs."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
