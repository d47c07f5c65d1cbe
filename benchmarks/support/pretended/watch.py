"""Counts what runs on the pretended device: host waits, bytes over the bus, bytes held, FLOPs, dtypes that do not meet.

Import it in a process of ``server`` only. Not seen: the allocator's rounding and fragments, workspaces of cuBLAS and
cuDNN, NCCL's buffers, kernels that would pick another algorithm.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._sharding_prop import ShardingPropagator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from benchmarks.support.pretended.device import WAITS, replaced
from benchmarks.support.pretended.seen import GIB, Seen

ROOT = str(Path(__file__).resolve().parents[3]) + "/"
OURS = tuple(ROOT + folder for folder in ("v4e/", "actors/", "serve/"))
aten = torch.ops.aten
NUMBERS = {aten._local_scalar_dense, aten.item, aten.is_nonzero}  # device to host, by their results
# Whose shape is known on the device only, or whether they raise.
COUNTS = {aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten._linalg_check_errors}
PRODUCTS = {
    aten.mm,
    aten.addmm,
    aten.bmm,
    aten.baddbmm,
    aten.convolution,
    aten.convolution_backward,
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_backward,
    aten.native_layer_norm,
}
STAGED = 64 << 10  # bytes of pageable memory that CUDA takes over at once, without a wait for the device


class Watch(TorchDispatchMode):
    """Sees every operator below autograd, those inside DTensors too.

    A number that is asked for is 1 or True where it is whole, and 0.5 otherwise, or on the device `number`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.number = Seen(), 0.5
        self.sizes: dict[int, tuple[int, str]] = {}  # of storages, with their device
        self.held: Counter[str] = Counter()
        self.pinned: weakref.WeakSet = weakref.WeakSet()
        self.parts: dict[int, int] | None = None  # bytes of storages at the peak, where asked for
        self.last = self.parts  # of the part that ended last
        self.made_by: dict[int, str] = {}
        self.paused = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if self.paused:
            return function(*args, **(kwargs or {}))
        if any(issubclass(one, DTensor) for one in types):
            return NotImplemented  # it comes again as operators on local parts
        kwargs, packet = dict(kwargs or {}), function.overloadpacket
        first = next((a for a in args if isinstance(a, Tensor)), None)
        if packet in NUMBERS:
            return self._number(first)
        if packet in COUNTS and first is not None:
            self._read(packet, first)
            if packet is aten.nonzero:  # one element is found
                return first.new_zeros((1, first.dim()), dtype=torch.int64)
        if packet is aten.is_pinned:
            return first.untyped_storage() in self.pinned
        if packet is aten._pin_memory:
            return self._pin(first.clone())
        pin = kwargs.pop("pin_memory", False)
        out = function(*args, **kwargs)
        if pin:
            self._pin(out)
        self._check(packet, args, kwargs)
        self._move(packet, args, kwargs, out)
        if packet in flop_registry:
            self.seen.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                self.hold(tensor, str(packet))
        return out

    def hold(self, tensor: Tensor, made_by: str = "given") -> None:
        """Counts the storage of `tensor` from here on; of a sharded one, that of its local part."""
        if isinstance(tensor, DTensor):
            tensor = tensor._local_tensor
        storage, device = tensor.untyped_storage(), tensor.device.type
        key, size = storage._cdata, storage.nbytes()
        if key not in self.sizes:
            weakref.finalize(storage, self._free, key)
            self.made_by[key] = made_by
        self._resize(key, size, device)

    def _resize(self, key: int, size: int, device: str) -> None:
        before, _ = self.sizes.get(key, (0, device))
        self.sizes[key] = size, device
        self.held[device] += size - before
        if device == "cuda" and self.held[device] > self.seen.peak:
            self.seen.peak = self.held[device]
            if self.parts is not None:
                self.parts = {k: s for k, (s, where) in self.sizes.items() if where == "cuda"}

    def _free(self, key: int) -> None:
        size, device = self.sizes.pop(key)
        self.held[device] -= size

    def _number(self, tensor: Tensor) -> bool | int | float:
        if tensor.device.type == "cuda":
            self.seen.reads[f"item {where()}"] += 1
        return self.value(tensor)

    def value(self, tensor: Tensor) -> bool | int | float:
        """Returns what stands for a number of `tensor`."""
        if not tensor.dtype.is_floating_point:
            return tensor.dtype == torch.bool or 1
        return self.number if tensor.device.type == "cuda" else 0.5

    def _read(self, packet, tensor: Tensor) -> None:
        if tensor.device.type == "cuda":
            self.seen.reads[f"{packet} {where()}"] += 1

    def _pin(self, tensor: Tensor) -> Tensor:
        self.pinned.add(tensor.untyped_storage())
        return tensor

    def _move(self, packet, args, kwargs, out) -> None:
        if packet is aten._to_copy:
            pairs = [(args[0], out)]
        elif packet is aten.copy_:
            pairs = [(args[1], args[0])]
        elif packet is aten._foreach_copy_:
            pairs = list(zip(args[1], args[0], strict=True))
        else:
            return
        asynchronous = kwargs.get("non_blocking") or (packet is not aten._to_copy and any(args[2:3]))
        for source, target in pairs:
            devices = source.device.type, target.device.type
            size, place = target.numel() * target.element_size(), where()
            if devices == ("cpu", "cuda"):
                self.seen.moved_in[place] += size
                if not (asynchronous and (size <= STAGED or source.untyped_storage() in self.pinned)):
                    self.seen.blocking[place] += 1
            elif devices == ("cuda", "cpu"):
                self.seen.moved_out[place] += size
                if not (asynchronous and target.untyped_storage() in self.pinned):
                    self.seen.reads[f"copy {place}"] += 1

    def _check(self, packet, args, kwargs) -> None:
        """Fake tensors multiply float32 by bfloat16; a GPU does not."""
        if packet not in PRODUCTS:
            return
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.is_floating_point()]
        if packet is aten._scaled_dot_product_flash_attention_backward:
            given = given[:5]  # then come the float32 sums
        kinds = sorted({str(a.dtype).removeprefix("torch.") for a in given})
        self.seen.computed[f"{packet.__name__} {'/'.join(kinds)}"] += 1
        if len(kinds) > 1:
            self.seen.mismatched[f"{packet.__name__} of {'/'.join(kinds)} {where()}"] += 1

    @contextmanager
    def part(self, *, parts: bool = False) -> Iterator[Seen]:
        """Yields a record of the block alone. With `parts`, :meth:`at_peak` tells what was there at its peak."""
        now = self.held["cuda"]
        outer, outer_parts = self.seen, self.parts
        self.seen, self.parts = Seen(start=now, peak=now), {} if parts else None
        WAITS.clear()
        try:
            yield self.seen
        finally:
            self.seen.reads.update(WAITS)
            self.seen.end = self.held["cuda"]
            self.seen, self.last, self.parts = outer, self.parts, outer_parts

    def at_peak(self) -> Counter[str]:
        """GiB by the operator that made them."""
        found: Counter[str] = Counter()
        for key, size in (self.last or {}).items():
            found[self.made_by[key]] += size / GIB
        return found


@contextmanager
def watched() -> Iterator[Watch]:
    """Tensors made inside are fake, and the operators on them are watched."""
    watch, resize = Watch(), torch.UntypedStorage.resize_
    to_list, of_tensor = torch.Tensor.tolist, torch.Tensor.numpy
    shapes_of = ShardingPropagator._propagate_tensor_meta_non_cached

    def resized(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        if storage._cdata in watch.sizes:  # FSDP lets go of gathered weights in this way
            watch._resize(storage._cdata, size, watch.sizes[storage._cdata][1])
        return resize(storage, size)

    def listed(tensor: Tensor) -> Any:
        if not isinstance(tensor, FakeTensor):
            return to_list(tensor)
        if tensor.device.type == "cuda":
            watch.seen.reads[f"tolist {where()}"] += 1
        return _nested(tuple(tensor.shape), watch.value(tensor))

    def to_numpy(tensor: Tensor, **_options: object) -> np.ndarray:
        if not isinstance(tensor, FakeTensor):
            return of_tensor(tensor)
        return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))

    def shapes_alone(propagator: ShardingPropagator, schema: Any) -> Any:
        watch.paused = True  # whole tensors that no device holds: DTensor works out what comes of them
        try:
            return shapes_of(propagator, schema)
        finally:
            watch.paused = False

    with (
        replaced(ShardingPropagator, _propagate_tensor_meta_non_cached=shapes_alone),
        replaced(torch.UntypedStorage, resize_=resized),
        replaced(
            torch.Tensor, tolist=listed, numpy=to_numpy, __deepcopy__=lambda tensor, _memo: tensor.detach().clone()
        ),
        replaced(FakeTensor, tolist=listed),  # which has its own, one element after the other
        FakeTensorMode(allow_non_fake_inputs=True),
        watch,
    ):
        yield watch


def _nested(shape: tuple[int, ...], value: float) -> Any:
    return value if not shape else [_nested(shape[1:], value) for _ in range(shape[0])]


def where() -> str:
    """The innermost line of the product that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(OURS):
            return f"{frame.f_code.co_filename.removeprefix(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
