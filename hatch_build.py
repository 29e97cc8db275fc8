"""Builds the compiled parts of the request path into the wheel, or in place for an editable install.

Where there is no C compiler, or the system is not Linux, the package is built without them and runs as Python. With
SHADOWEVAL_REQUIRE_COMPILED=1 that is an error.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = "shadoweval/native"


def compiled(root: Path) -> list[str]:
    """Compile `shadoweval/native/*.pyx` in place; the paths made, relative to `root`."""
    from Cython.Build import cythonize  # noqa: PLC0415 - not needed for a build without them
    from setuptools import Distribution, Extension  # noqa: PLC0415 - see above

    sources = sorted(path.relative_to(root) for path in (root / PARTS).glob("*.pyx"))
    modules = [
        Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=["-O3"]) for path in sources
    ]
    before = Path.cwd()
    os.chdir(root)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            made = cythonize(modules, build_dir=scratch, quiet=True, force=True)
            command: Any = Distribution({"name": "shadoweval", "ext_modules": made}).get_command_obj("build_ext")
            command.inplace, command.build_temp, command.force = True, scratch, True
            command.ensure_finalized()
            command.run()
            return [os.path.relpath(command.get_ext_fullpath(module.name), root) for module in made]
    finally:
        os.chdir(before)


class CompiledParts(BuildHookInterface[Any]):
    """Adds them to a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called before the wheel is put together."""
        if self.target_name != "wheel":
            return
        try:
            if not sys.platform.startswith("linux"):
                raise OSError("they are Linux's")
            made = compiled(Path(self.root))
        except BaseException as error:
            if os.environ.get("SHADOWEVAL_REQUIRE_COMPILED") or isinstance(error, KeyboardInterrupt):
                raise
            self.app.display_warning(f"Built without the compiled parts ({type(error).__name__}: {error}).")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].extend(made)
