import subprocess
import sys

import shadoweval.evidence


def test_every_public_name_is_there_once():
    """What __all__ promises can be imported."""
    assert len(set(shadoweval.evidence.__all__)) == len(shadoweval.evidence.__all__)
    assert all(hasattr(shadoweval.evidence, name) for name in shadoweval.evidence.__all__)


def test_importing_it_loads_numpy_and_nothing_else_of_weight():
    """Neither scipy nor any other room of the package comes along."""
    code = (
        "import sys, shadoweval.evidence;"
        "ours = {m.split('.')[1] for m in sys.modules if m.startswith('shadoweval.')};"
        "print(sorted(ours), 'scipy' in sys.modules, 'pandas' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert printed.strip() == "['errors', 'evidence'] False False"
