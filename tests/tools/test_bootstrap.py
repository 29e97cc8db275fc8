"""Set-up installs the files that hashes.txt names, and no others."""

import base64
import hashlib
import importlib.util
import re
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="bootstrap")
def _bootstrap(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools/bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(module.UNVERIFIED, raising=False)
    monkeypatch.setattr(module, "ENV", tmp_path)
    return module


def test_every_pin_but_torch_has_its_files_and_names_no_place(bootstrap):
    """What builds the project and what installs it, too."""
    pins = set((ROOT / "constraints.txt").read_text(encoding="utf-8").split()) - {bootstrap.TORCH}
    known = bootstrap.hashed()

    assert pins <= set(known)
    assert len(bootstrap.pinned("uv", *bootstrap.BACKEND)) == 1 + len(bootstrap.BACKEND)
    line = r"[a-z0-9-]+==[\w.]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+"
    assert [block for block in known.values() if not re.fullmatch(line, block)] == []
    assert bootstrap.TORCH not in known


@pytest.fixture(name="wheel")
def _wheel(tmp_path):
    """A folder with the wheel of a package, and its hash."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    about = "toy_package-1.0.dist-info"
    files = {
        "toy_package.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*rows, f"{about}/RECORD,,", ""])
    path = folder / "toy_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return folder, hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("named", "unverified", "installed"),
    [("the file", "", True), ("another file", "", False), ("another file", "1", True), ("nothing", "", False)],
)
def test_a_file_that_is_not_named_is_not_installed(
    bootstrap, wheel, tmp_path, monkeypatch, named, unverified, installed
):
    """Unless the switch for an index that builds its files itself says so."""
    folder, digest = wheel
    lines = {"the file": digest, "another file": "0" * 64}
    block = f"toy-package==1.0 \\\n    --hash=sha256:{lines[named]}\n" if named in lines else ""
    (tmp_path / "hashes.txt").write_text(block, encoding="utf-8")
    monkeypatch.setattr(bootstrap, "HASHES", tmp_path / "hashes.txt")
    monkeypatch.setenv(bootstrap.UNVERIFIED, unverified)
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--isolated", "--no-index", "--find-links", folder]

    done = bootstrap.install_hashed([*pip, "--target", target], ["toy-package==1.0"])

    assert done is installed
    assert (target / "toy_package.py").exists() is installed


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_what_an_installer_would_do_is_read_from_what_it_says(bootstrap, installer):
    """Names as the lock writes them; torch and the project itself come otherwise."""
    report = {"install": [{"metadata": {"name": "Typing_Extensions", "version": "4.1"}}]}
    lines = [" - old==1", " + Typing_Extensions==4.1", " + torch==2.13.0", " + shadoweval==0.1.0 (from file:///x)"]
    said = {
        "uv": f"import sys; sys.stderr.write({chr(10).join(lines)!r})",
        "pip": f"import json; print(json.dumps({report!r}))",
    }

    assert bootstrap.planned(sys.executable, "-c", said[installer]) == ["typing-extensions==4.1"]


def test_an_installer_that_fails_plans_nothing(bootstrap):
    """Then nothing is installed either."""
    assert bootstrap.planned(sys.executable, "-c", "raise SystemExit(1)") is None
