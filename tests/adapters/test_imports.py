import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "shadoweval.mirror",
        "shadoweval.adapters.asgi",
        "shadoweval.adapters.openai",
        "shadoweval.adapters.langchain",
    ],
)
def test_no_framework_is_imported(module):
    """Only LangChain's adapters import a framework, at first use; the others know its objects by what they hold."""
    code = f"import sys, {module}; print(sorted(m for m in sys.modules if '.' not in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"openai", "starlette", "fastapi", "langchain_core", "pydantic", "httpx", "httpx2", "numpy"} & set(
        eval(out)
    )
