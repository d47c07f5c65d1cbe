"""LoRAs by name on one DiT: read when first asked for, a few held at a time, and none of them left in the base.

Files are those that ``v4e export`` writes, or others' in the names of diffusers, ComfyUI, kohya or musubi.
"""

from collections import OrderedDict
from collections.abc import Mapping

from diffusers import WanTransformer3DModel
from torch import nn

from v4e.faults import Fault
from v4e.weights.hub import lora_file
from v4e.weights.lora_names import LoraFile, read_lora


class Adapters:
    """The LoRAs that requests may name, and the one in use.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is no LoRA of this DiT. All are checked at once, before any work.
    """

    def __init__(self, dit: WanTransformer3DModel, files: Mapping[str, str], *, most: int = 4) -> None:
        if most < 1:
            raise ValueError(f"most={most} LoRAs held at a time: expected at least 1")
        self._dit, self._files, self._most = dit, dict(files), most
        self._held: OrderedDict[str, str] = OrderedDict()  # name to what peft calls it, longest unused first
        for name, file in self._files.items():
            read(dit, name, file)

    @property
    def names(self) -> list[str]:
        return sorted(self._files)

    @property
    def held(self) -> list[str]:
        """Names of those in memory, the longest unused first."""
        return list(self._held)

    def use(self, name: str | None) -> None:
        """The DiT computes with the LoRA `name`, or with None as if there had never been one, to the bit.

        Raises:
            ValueError: there is none of that name.
        """
        if name is None:
            if self._held:
                self._dit.disable_adapters()
            return
        if name not in self._files:
            there = ", ".join(self.names) or "none"
            raise ValueError(
                f"lora {name!r} is unknown: expected one of those given when the model was loaded: {there}"
            )
        if name not in self._held:
            self._load(name)
        self._held.move_to_end(name)
        self._dit.enable_adapters()
        self._dit.set_adapters(self._held[name])

    def _load(self, name: str) -> None:
        while len(self._held) >= self._most:
            _, oldest = self._held.popitem(last=False)
            self._dit.delete_adapters(oldest)
        state, metadata = read(self._dit, name, self._files[name])
        inside = f"lora_{self.names.index(name)}"  # peft makes modules of names, which may hold no dot
        self._dit.load_lora_adapter(state, prefix="transformer", adapter_name=inside, metadata=metadata)
        self._dit.requires_grad_(False).eval()
        self._held[name] = inside


def merge(dit: WanTransformer3DModel, file: str, *, key: str) -> None:
    """Adds a LoRA to the weights of `dit`, which then computes with it and knows of no adapter.

    `key` is the setting that names `file`, for errors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no LoRA of this DiT.
    """
    state, metadata = read(dit, key, file)
    dit.load_lora_adapter(state, prefix="transformer", adapter_name="merged", metadata=metadata)
    dit.fuse_lora(adapter_names=["merged"])
    dit.unload_lora()


def read(dit: WanTransformer3DModel, name: str, file: str) -> LoraFile:
    """Weights and metadata of a LoRA file, or of the folder that holds one, in diffusers' names.

    Raises:
        FileNotFoundError: there is none.
        Fault: it is no safetensors file, or not of this DiT; names the first weight that does not fit.
    """
    path = lora_file(file)
    if not path.exists():
        raise FileNotFoundError(f"lora {name}: there is no {path}: expected a .safetensors file or a folder with one")
    if path.suffix != ".safetensors":
        raise Fault("T19", f"lora {name}: {path} is no .safetensors file: others can run code when they are read")
    linear = ((n, m) for n, m in dit.named_modules() if isinstance(m, nn.Linear) and ".lora_" not in n)
    layers = {n.replace(".base_layer", ""): m for n, m in linear}
    return read_lora(str(path), layers, f"lora {name}")
