"""The examples do what they say, against the real server: nodes of ComfyUI, an app, and clients of Node."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.support.served import SMALL, http, picture, png
from serve.settings import Settings
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = ("openai@6", "ai@6", "@ai-sdk/openai@3")
SIZE = (48, 32)


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    state = str(tmp_path_factory.mktemp("state"))
    return Settings(model=str(random_family / "tiny-wan-i2v"), state=state, steps=1, **SMALL)


@pytest.fixture(scope="module")
def nodes():
    """The nodes, loaded as ComfyUI loads a folder of custom_nodes: by its file, under a name made of its path."""
    folder = EXAMPLES / "comfyui"
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture(scope="module")
def npm(tmp_path_factory) -> Path:
    """A folder with the scripts and their packages."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("there is no Node here")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm has no registry here: {done.stderr.strip().splitlines()[-1:]}")
    for script in (EXAMPLES / "node").glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def test_nodes_are_what_comfyui_asks_of_them(nodes):
    assert set(nodes.NODE_CLASS_MAPPINGS) == set(nodes.NODE_DISPLAY_NAME_MAPPINGS) == {"V4EServerEdit", "V4EEdit"}
    for node in nodes.NODE_CLASS_MAPPINGS.values():
        inputs = node.INPUT_TYPES()
        names = [*inputs["required"], *inputs["optional"]]
        made = getattr(node(), node.FUNCTION)
        assert made.__func__.__code__.co_varnames[1 : made.__func__.__code__.co_argcount] == tuple(names)
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) and isinstance(node.CATEGORY, str)
        for kind, *options in [*inputs["required"].values(), *inputs["optional"].values()]:
            assert isinstance(kind, list) or kind in {"IMAGE", "MASK", "STRING", "INT", "FLOAT"}
            assert all("default" in option for option in options)


def pixels(images: torch.Tensor) -> np.ndarray:
    return (255 * images).round().to(torch.uint8).numpy()


@pytest.mark.slow
def test_both_nodes_make_the_servers_edit(nodes, url, settings):
    batch = torch.from_numpy(np.stack([np.asarray(picture(seed, SIZE)) for seed in (0, 1)])).float() / 255
    mask = torch.zeros(1, SIZE[1], SIZE[0])
    mask[:, 8:24, 10:30] = 1
    same = {"image": batch, "instruction": "make it blue", "seed": 3, "steps": 1, "strength": 1.0, "preserve": "off"}
    [by_server] = nodes.V4EServerEdit().edit(**same, url=url, mask=mask)
    more = {"model": settings.model, "dtype": "float32", "away": "", "max_pixels": 32 * 32}
    by_editor, evolution, where = nodes.V4EEdit().edit(**same, **more, mask=mask)
    assert np.array_equal(pixels(by_server), pixels(by_editor))
    assert by_server.shape == (2, 32, 48, 3) and by_server.dtype == torch.float32
    assert evolution.shape[0] == 10 and evolution.shape[3] == 3
    outside = (mask[0] == 0).numpy()
    assert np.array_equal(pixels(by_server)[:, outside], pixels(batch)[:, outside])
    assert torch.equal(where, mask.expand(2, -1, -1))
    lists = [picture(1, SIZE)], ["make it blue"], [4]
    [edit] = Editor.load(settings.model).edit(*lists, EditSettings(max_pixels=32 * 32, steps=1))
    inside = ~outside
    assert np.array_equal(pixels(by_server)[1][inside], np.asarray(edit.image)[inside])


def test_a_node_says_what_the_server_says(nodes, url):
    image = torch.zeros(1, 8, 8, 3)
    same = {"image": image, "seed": 0, "strength": 1.0, "preserve": "off", "url": url}
    with pytest.raises(RuntimeError, match="answers 400: prompt"):
        nodes.V4EServerEdit().edit(**same, instruction=" ", steps=1)
    with pytest.raises(RuntimeError, match="v4e serve"):
        nodes.V4EServerEdit().edit(**same | {"url": "http://127.0.0.1:9"}, instruction="x", steps=1)


def test_the_app_on_gradio_edits(url, monkeypatch):
    spec = importlib.util.spec_from_file_location("gradio_app", EXAMPLES / "gradio_app.py")
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    monkeypatch.setattr(app, "client", app.client.with_options(base_url=f"{url}/v1"))
    made = [app.edited(picture(0, SIZE), "make it blue", seed) for seed in (3, 3.0, 4)]
    assert made[0].size == SIZE and made[0].tobytes() == made[1].tobytes() != made[2].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["openai", "ai-sdk"])
def test_clients_of_node_edit(npm, url, tmp_path, script):
    (tmp_path / "photo.png").write_bytes(png(picture(0, SIZE)))
    files = [str(tmp_path / name) for name in ("photo.png", "out.png")]
    command = ["node", str(npm / f"{script}.mjs"), files[0], "make it blue", files[1]]
    environ = os.environ | {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert done.returncode == 0, done.stderr
    made = Image.open(files[1]).convert("RGB")
    assert made.size == SIZE
    if script == "openai":
        assert done.stdout.split()[-1] == "image_edit.completed"
        answer = http.post(
            f"{url}/v1/images/edits",
            data={"prompt": "make it blue", "seed": 3, "response_format": "url"},
            files={"image": png(picture(0, SIZE))},
        )
        assert http.get(answer.json()["data"][0]["url"]).content == Path(files[1]).read_bytes()
