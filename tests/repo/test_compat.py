"""Private names of other packages: each was last seen in the release below; a later one may have moved it."""

import inspect
from importlib.metadata import version

import pytest

from v4e import compat

SEEN = {"torch": "2.13", "diffusers": "0.42"}


@pytest.mark.parametrize("package", SEEN)
def test_a_new_release_is_looked_at_before_it_is_relied_on(package):
    found = version(package)
    assert found.startswith(f"{SEEN[package]}."), (
        f"{package} {found}: see that every name in v4e/compat.py still means the same there, then write {found} here"
    )


def test_checkpoints_are_read_and_written_at_a_uri():
    assert "path" in inspect.signature(compat.FsspecReader).parameters
    assert {"path", "sync_files"} <= inspect.signature(compat.FsspecWriter).parameters.keys()


def test_an_attention_backend_without_its_package_is_refused(monkeypatch):
    from diffusers.models import attention_dispatch

    assert {"native", "flash"} <= set(compat.attention_backends())
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", False)
    compat.check_attention_backend("native")
    with pytest.raises(RuntimeError, match="flash-attn"):
        compat.check_attention_backend("flash")
