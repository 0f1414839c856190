"""What code a model is: the sha256 of its own module and of all of the engine that it imports."""

import ast
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from margin.engine.model import Model

ENGINE: Final = Path(__file__).parent
PACKAGE: Final = "margin.engine"


def model_sha256(model: Model[Any]) -> str:
    """The sha256, in hex, of a model's source: another hash means other code.

    Comments and layout count too: whoever reads the code then reads what was decided on.
    """
    return _sha256(model.prepare.__module__)


def model_sources(model: Model[Any]) -> dict[str, str]:
    """The sha256, in hex, of every file of the engine that a model rests on, by its path."""
    return {
        path.relative_to(ENGINE).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(_imported(model.prepare.__module__))
    }


@cache
def _sha256(module: str) -> str:
    digest = sha256()
    for path in sorted(_imported(module)):
        digest.update(f"{path.relative_to(ENGINE).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _imported(module: str) -> set[Path]:
    """The files of a module and of the engine's modules below it."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _file_of(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                waiting += [node.module, *names]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
    return found


def _file_of(module: str) -> Path | None:
    """The file of a module of the engine; of a package its `__init__`, unless that only lists."""
    if module != PACKAGE and not module.startswith(f"{PACKAGE}."):
        return None
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None)
    return None if path is None or module == f"{PACKAGE}.models" else Path(path)
