"""Private names of other packages: each was last seen in the release below; a later one may have moved it.

Those of torch and diffusers stand in v4e/compat.py. Those of Ray stand where they are used, since v4e imports no Ray.
"""

import inspect
from importlib.metadata import version

import pytest

from v4e import compat

SEEN = {"torch": "2.13", "diffusers": "0.42", "ray": "2.60"}
PLACES = {
    "torch": "v4e/compat.py",
    "diffusers": "v4e/compat.py",
    "ray": "actors/stream/transport.py, actors/teacher/pool_metrics.py and serve/ingress.py",
}


@pytest.mark.parametrize("package", SEEN)
def test_a_new_release_is_looked_at_before_it_is_relied_on(package):
    found = version(package)
    assert found.startswith(f"{SEEN[package]}."), (
        f"{package} {found}: see that the names in {PLACES[package]} mean the same, then write {found} here"
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


def test_rays_private_names_are_there():
    import ray
    from ray.serve.context import _get_global_client
    from ray.util.metrics import Counter

    assert callable(_get_global_client)
    assert "_tensor_transport" in inspect.signature(ray.put).parameters
    assert "value" in inspect.signature(Counter._record).parameters
