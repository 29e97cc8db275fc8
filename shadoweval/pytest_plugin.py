"""Where the plugin was: `pytest_shadoweval` beside the package is it, which loads nothing of ours at start.

Environments that were installed before know it by this name.
"""

from pytest_shadoweval import (
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_pycollect_makeitem,
    pytest_runtest_makereport,
    shadow,
    shadow_case,
)

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_runtest_makereport",
    "shadow",
    "shadow_case",
]
