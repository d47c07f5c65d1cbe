"""The order of rooms in docs/architecture.md, and who may import ray, vllm and flash_attn."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("v4e", "actors", "pipelines", "serve")
FORBIDDEN = {
    "v4e": {"ray", "vllm", "flash_attn"},
    "actors": {"vllm", "flash_attn"},
    "pipelines": {"vllm", "flash_attn"},
    "serve": {"vllm", "flash_attn"},
}
RUNS_VLLM = "actors.llm"


def order() -> list[str]:
    """The rooms of docs/architecture.md, first to last."""
    return re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/architecture.md").read_text(), re.M)


def files() -> dict[str, Path]:
    """Module name to file, for every module of the product."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


FILES = files()
ROOMS = order()


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, at any depth of its code; of ours, the file that is meant."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{path}: a relative import"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (below & FILES.keys()) or {node.module}
            names |= {node.module} if below - FILES.keys() else set()
    return names


IMPORTS = {name: imported(path) for name, path in FILES.items()}


def room_of(module: str) -> str:
    """The innermost room that holds a module."""
    while module not in ROOMS:
        module, _, last = module.rpartition(".")
        assert module, f"{last} lies in no room of docs/architecture.md"
    return module


def test_every_room_of_the_table_exists_and_every_file_has_one():
    assert all(room in FILES or (ROOT / room.replace(".", "/")).is_dir() for room in ROOMS)
    assert {room_of(module) for module in FILES} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room):
    below = {}
    for module in (m for m in FILES if room_of(m) == room):
        for name in IMPORTS[module] & FILES.keys():
            if ROOMS.index(room_of(name)) > ROOMS.index(room):
                below.setdefault(module, []).append(name)
    assert not below


@pytest.mark.parametrize(
    ("package", "others"), [("serve", {"actors", "pipelines"}), ("actors", {"serve"}), ("pipelines", {"serve"})]
)
def test_serving_and_training_know_nothing_of_each_other(package, others):
    reached = {name.split(".")[0] for module in FILES if module.split(".")[0] == package for name in IMPORTS[module]}
    assert not reached & others


def test_no_files_import_each_other_in_a_circle():
    graph = {module: IMPORTS[module] & FILES.keys() for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_that_only_some_may_import(package):
    for module in (m for m in FILES if m.split(".")[0] == package):
        tops = {name.split(".")[0] for name in IMPORTS[module]}
        allowed = {"vllm"} if room_of(module) == RUNS_VLLM else set()
        assert not tops & (FORBIDDEN[package] - allowed), module
