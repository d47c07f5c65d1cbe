"""Every private name of other packages that v4e depends on, in one place.

A name here may change in any release: tests/repo/test_compat.py says which release each was last seen in.
"""

from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter

__all__ = ["FsspecReader", "FsspecWriter", "attention_backends", "check_attention_backend", "kept_in_float32"]


def attention_backends() -> list[str]:
    """Returns the names of the attention backends that diffusers knows."""
    from diffusers.models.attention_dispatch import AttentionBackendName  # seconds that few callers need

    return [backend.value for backend in AttentionBackendName]


def check_attention_backend(name: str) -> None:
    """Refuses a backend whose package is missing or too old.

    Raises:
        RuntimeError: diffusers' own words on what to install.
    """
    from diffusers.models.attention_dispatch import AttentionBackendName, _check_attention_backend_requirements

    _check_attention_backend_requirements(AttentionBackendName(name))


def kept_in_float32(name: str) -> bool:
    """Returns whether diffusers keeps the weight `name` of a Wan DiT in float32, in whatever it loads the others."""
    from diffusers import WanTransformer3DModel

    return not set(WanTransformer3DModel._keep_in_fp32_modules).isdisjoint(name.split("."))
