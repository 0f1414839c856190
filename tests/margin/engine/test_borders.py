"""The engine stands alone: no database, no web, nothing of the rest of the product.

What is compiled is beside it: without numba everything is there, and with it one module needs it.
"""

import subprocess
import sys
from pathlib import Path

import margin.engine

ROOT = Path(margin.engine.__file__).parents[2]


def test_the_engine_imports_numpy_scipy_and_the_standard_library_only() -> None:
    modules = sorted(path.stem for path in (ROOT / "margin/engine").glob("[a-z]*.py"))
    modules.remove("worst_numba")
    program = (
        "import sys\n"
        "sys.modules['numba'] = None\n"
        + "".join(f"import margin.engine.{name}\n" for name in modules)
        + "tops = {name.split('.')[0] for name, module in sys.modules.items() if module}\n"
        "print(*sorted(tops - set(sys.stdlib_module_names) - {'__main__'}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('margin.')))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"sys = __import__('sys'); sys.path[:] = {sys.path!r}\n{program}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tops, inside = done.stdout.splitlines()
    own_of_scipy = {top for top in tops.split() if top[0] == "_" or top.startswith("cython")}
    own_of_scipy.add("charset_normalizer")  # which numpy's f2py loads where it is installed
    assert set(tops.split()) - own_of_scipy == {"margin", "numpy", "scipy"}
    assert all(name.startswith("margin.engine") for name in inside.split())
