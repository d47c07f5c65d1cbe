"""The order of rooms in docs/architecture.md, who may import ray, vllm and flash_attn, and names of classes."""

import ast
from collections import Counter

import pytest

from tests.repo.rooms import FILES, IMPORTS, PACKAGES, ROOMS, ROOT, arrows_back, circles, ours, room_of

FORBIDDEN = {
    "v4e": {"ray", "vllm", "flash_attn"},
    "actors": {"vllm", "flash_attn"},
    "pipelines": {"vllm", "flash_attn"},
    "serve": {"vllm", "flash_attn"},
}
RUNS_VLLM = "actors.llm"


def test_every_room_of_the_table_exists_and_every_file_has_one():
    assert all(room in FILES or (ROOT / room.replace(".", "/")).is_dir() for room in ROOMS)
    assert {room_of(module) for module in FILES} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room):
    assert not [arrow for arrow in arrows_back() if room_of(arrow[0]) == room]


@pytest.mark.parametrize(
    ("package", "others"), [("serve", {"actors", "pipelines"}), ("actors", {"serve"}), ("pipelines", {"serve"})]
)
def test_serving_and_training_know_nothing_of_each_other(package, others):
    reached = {name.split(".")[0] for module in FILES if module.split(".")[0] == package for name in IMPORTS[module]}
    assert not reached & others


def test_no_files_import_each_other_in_a_circle():
    assert circles(ours()) == []


def test_a_circle_is_found_with_all_its_files():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a", "f"}, "g": {"f"}}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"], ["f"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_that_only_some_may_import(package):
    for module in (m for m in FILES if m.split(".")[0] == package):
        tops = {name.split(".")[0] for name in IMPORTS[module]}
        allowed = {"vllm"} if room_of(module) == RUNS_VLLM else set()
        assert not tops & (FORBIDDEN[package] - allowed), module


@pytest.mark.slow
def test_a_class_has_a_name_of_its_own():
    """But for sections of the config, which are called as their keys, and the two worlds, which have the same parts."""
    apart = ("v4e.config", "v4e.tiny.world.", "v4e.tiny.world2.", "benchmarks.", "tests.")
    trees = {name: ast.parse(path.read_text()).body for name, path in FILES.items() if not f"{name}.".startswith(apart)}
    names = Counter(node.name for body in trees.values() for node in body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []
