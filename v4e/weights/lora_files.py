"""LoRAs by name on one DiT: read when first asked for, a few held at a time, and none of them left in the base.

Files are those that ``pipelines/export.py`` or ``save_lora_weights`` write, or others' that diffusers converts.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

from diffusers import WanTransformer3DModel
from safetensors import SafetensorError
from torch import Tensor, nn

from v4e.models.stock import WanImageToVideoPipeline
from v4e.weights.hub import lora_file

PREFIX = "transformer."


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


def read(dit: WanTransformer3DModel, name: str, file: str) -> tuple[dict[str, Tensor], dict | None]:
    """Weights and metadata of a LoRA file, or of the folder that holds one, in diffusers' names.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no safetensors file, or not of this DiT; names the first weight that does not fit.
    """
    path = lora_file(file)
    if not path.exists():
        raise FileNotFoundError(f"lora {name}: there is no {path}: expected a .safetensors file or a folder with one")
    if path.suffix != ".safetensors":
        raise ValueError(f"lora {name}: {path} is no .safetensors file: others can run code when they are read")
    try:
        state, metadata = WanImageToVideoPipeline.lora_state_dict(
            str(path.parent), weight_name=path.name, use_safetensors=True, return_lora_metadata=True
        )
    except (SafetensorError, OSError) as error:
        raise ValueError(f"lora {name}: {path} cannot be read ({error})") from error
    except Exception as error:  # diffusers' converters raise all kinds over keys that they do not know
        raise ValueError(
            f"lora {name}: {path} holds no LoRA of a Wan model that diffusers converts ({error})"
        ) from error
    layers = {n.replace(".base_layer", ""): m for n, m in dit.named_modules() if isinstance(m, nn.Linear)}
    pairs = 0
    for key, weight in cast(dict[str, Tensor], state).items():
        layer, _, part = key.removeprefix(PREFIX).partition(".lora_")
        there = layers.get(layer) if key.startswith(PREFIX) else None
        ends = {"A.weight": 1, "B.weight": 0, "B.bias": 0}
        if there is None or part not in ends:
            raise ValueError(f"lora {name}: {path} holds {key}, which is no LoRA weight of this model's transformer")
        expected = there.in_features if part == "A.weight" else there.out_features
        if weight.ndim != (1 if part == "B.bias" else 2) or weight.shape[ends[part]] != expected:
            raise ValueError(
                f"lora {name}: {key} is {tuple(weight.shape)}, the model's layer is {there.in_features} to "
                f"{there.out_features} wide: expected a LoRA that was trained on this model"
            )
        pairs += 1
    if not pairs:
        raise ValueError(f"lora {name}: {path} holds no weights")
    return state, metadata
