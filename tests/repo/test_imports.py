"""The direction of dependencies: v4e <- actors <- pipelines, v4e <- serve."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = {
    "v4e": {"ray", "vllm", "actors", "pipelines", "serve", "flash_attn"},
    "actors": {"pipelines", "serve", "flash_attn"},
    "pipelines": {"serve", "vllm", "flash_attn"},
    "serve": {"actors", "pipelines", "vllm", "flash_attn"},
}
MAY_IMPORT_VLLM = {"actors/llm/vllm.py", "actors/llm/judge.py"}


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that the file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_direction(package):
    for path in (ROOT / package).rglob("*.py"):
        wrong = imported(path) & FORBIDDEN[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_vllm_is_imported_where_it_is_run_only():
    for path in (ROOT / "actors").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        assert "vllm" not in imported(path) or name in MAY_IMPORT_VLLM, name


def test_no_relative_imports():
    for package in FORBIDDEN:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.ImportFrom) and node.level), path
