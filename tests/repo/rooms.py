"""The rooms of the product, their order, and which files import which."""

import ast
import re
from collections.abc import Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("v4e", "actors", "pipelines", "serve")


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
    """Full names of all modules that a file imports, at any depth of its code; for ours, names of files."""
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


def ours() -> dict[str, set[str]]:
    """Imports of each module among the modules of the product."""
    return {name: IMPORTS[name] & FILES.keys() for name in FILES}


def arrows_back() -> list[tuple[str, str]]:
    """Pairs of modules of which the first imports the second from a room below its own."""
    return [
        (module, name)
        for module, names in ours().items()
        for name in sorted(names)
        if ROOMS.index(room_of(name)) > ROOMS.index(room_of(module))
    ]


def circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Groups of two or more modules that reach each other by imports; each module is in one group at most."""
    reached = {module: _reached(graph, module) for module in graph}
    groups = {tuple(sorted(n for n in reached[m] if m in reached[n])) for m in graph if m in reached[m]}
    return [list(group) for group in sorted(groups)]


def _reached(graph: Mapping[str, Set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph[ahead.pop()] - found
        found |= new
        ahead += new
    return found
