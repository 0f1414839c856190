"""The engine computes on arrays and can be read, tested and trusted without the product."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE_ROOT = ROOT / "margin" / "engine"
ENGINE = sorted(ENGINE_ROOT.rglob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "numpy", "scipy"}
COMPILED = ENGINE_ROOT / "worst_numba.py"


def imported(path: Path) -> set[str]:
    """Modules a file imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_imports_numpy_scipy_and_the_standard_library_only(path: Path) -> None:
    allowed = ALLOWED | {"numba"} if path == COMPILED else ALLOWED
    foreign = {
        name
        for name in imported(path)
        if name.split(".")[0] not in allowed and not f"{name}.".startswith("margin.engine.")
    }
    assert foreign == set()


def test_there_is_an_engine_to_look_at() -> None:
    assert ENGINE
    assert COMPILED in ENGINE
