import subprocess
import sys


def test_importing_it_loads_numpy_and_nothing_else_of_weight():
    """Neither scipy nor any other room of the package comes along."""
    code = (
        "import importlib, pkgutil, sys, shadoweval.evidence as evidence;"
        "[importlib.import_module(m.name) for m in pkgutil.iter_modules(evidence.__path__, 'shadoweval.evidence.')];"
        "ours = {m.split('.')[1] for m in sys.modules if m.startswith('shadoweval.')};"
        "print(sorted(ours), 'scipy' in sys.modules, 'pandas' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert printed.strip() == "['errors', 'evidence'] False False"
