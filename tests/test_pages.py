"""What the pages for the next owner name is there, and test files stand where CONTRIBUTING says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "shadoweval"
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/glossary.md"]
CODE = re.compile(r"`([^`\n]+)`|^[ │├└─]*([\w/]+\.py|[\w/]+/)(?: |$)", re.MULTILINE)
NAME_IN_FILE = re.compile(r"([\w/]+\.py):([A-Za-z_]\w*(?:\.\w+)*)(?:\(\))?")
LINK = re.compile(r"\]\((?!\w+://|mailto:)([^)\s]+)\)")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")

# Files that hold a promise over many modules, and why no module has their name.
PROMISES = {
    "adapters/langchain/test_parallel_calls.py": "what runs in parallel under one name, by every entry",
    "adapters/test_arguments.py": "wrong arguments of all adapters",
    "adapters/test_imports.py": "none of the adapters loads its library before it is used",
    "adapters/test_private_hooks.py": "what all adapters use of libraries beyond their documented interface",
    "candidate/guard/test_bystanders.py": "what a candidate can do to others by locks, owners and priorities",
    "candidate/guard/test_escapes.py": "ways around all layers of the guard together",
    "candidate/test_bounds.py": "memory and disk are bounded wherever they are taken",
    "candidate/test_contained_import.py": "a candidate's module is imported as contained as its queries are answered",
    "candidate/test_meddling.py": "what candidates do to the guard's supervisor and to the fork server",
    "candidate/test_popular_packages.py": "packages that pipelines use are imported contained",
    "evaluation/test_circumstances.py": "what makes an earlier look's state worthless",
    "evaluation/test_growth.py": "what evaluations leave and need does not grow with the pairs",
    "evidence/test_documentation.py": "the numbers of docs/statistics.md",
    "evidence/test_package.py": "what the room offers as a whole",
    "evidence/test_paths.py": "the streams of benchmarks/statistics/paths.py, which simulations run on",
    "evidence/test_simulations.py": "error rates of the engine as a whole",
    "mirror/test_awkward_calls.py": "calls that no single module is about",
    "mirror/test_conformance.py": "a mirrored function behaves as the function",
    "mirror/test_import.py": "what importing the mirror costs",
    "mirror/test_sampling.py": "who is in the sample, by unit and by chance",
    "mirror/test_traffic_wiring.py": "the experiment's switches reach the mirror",
    "reporting/test_browser.py": "a report in a real browser",
    "scoring/test_scorers.py": "what every scorer keeps to",
    "verdict/test_direction.py": "metrics of which less is better, wherever a direction matters",
    "test_architecture.py": "the shape of the code",
    "test_install_page.py": "the sizes of docs/install.md",
    "test_mistakes.py": "wrong names and arguments in any room",
    "scoring/test_scorer_pages.py": "the pages of docs/scorers/",
    "test_packaging.py": "what the wheel and its extras hold",
    "test_pages.py": "this file",
    "traffic/test_default_gauges.py": "the switches that an experiment has without being asked",
    "store/test_growth.py": "what grows in a store grows by a rule",
    "transport/test_unwritable.py": "a folder that can't be written, through every way out",
    "verdict/test_incidents.py": "incidents of published experiments, judged",
    "worker/test_erasing.py": "an erased user is gone from store and spool",
    "worker/test_http_candidate.py": "a candidate that is another release behind HTTP",
    "worker/test_processes.py": "processes of candidates, by the commands as typed",
    "worker/test_redacted_observations.py": "what candidates answer is redacted before it is stored",
}
PROMISE_FOLDERS = {
    "aa": "the same pipeline as both arms",
    "apps": "whole applications with real libraries",
    "contracts": "one suite for each Protocol",
    "evals": "the case files",
    "faults": "injected faults through several rooms",
    "hostile": "candidates that do what none should, from decorator to verdict",
    "pytest_plugin": "suites, by pytest in a process of its own",
    "readme": "the code of README and of the pages for users",
    "truth": "what is said of candidates whose truth is known, from stored pairs to printed verdict",
    "typing": "what type checkers say",
}


def has(file, names):
    """Whether a module defines a dotted name: function, class, method, constant."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for name in names:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                body = node.body
                break
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                body = []
                break
        else:
            return False
    return True


def missing(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for ticked, drawn in CODE.findall(text):
        named = NAME_IN_FILE.fullmatch(ticked)
        path = drawn or (named[1] if named else ticked)
        if not FILE.fullmatch(path) or not path.endswith((".py", ".md", "/")):
            continue
        places = [place for base in (ROOT, PACKAGE) if (place := base / path).exists()]
        if drawn:  # folders of a drawn tree stand below the one they are in
            places = list(PACKAGE.rglob(path.rstrip("/")))
        if not places or (named and not has(places[0], named[2].split("."))):
            yield ticked or drawn


@pytest.mark.parametrize("page", PAGES)
def test_whatever_a_page_names_is_there(page):
    """Each folder, each file and each `file.py:function` in code marks exists."""
    assert list(missing(page)) == []


def test_the_check_finds_what_is_not_there(tmp_path, monkeypatch):
    """A wrong folder, file, function or method is found, in running text and in a drawn tree."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    wrong = ["no/such/", "protocols/no.py", "settings.py:no", "settings.py:Settings.no"]
    right = ["mirror/", "settings.py", "settings.py:Settings", "settings.py:Settings.spool"]
    drawing = "```\n  nowhere/   drawn\n  mirror/    drawn\n```"
    (tmp_path / "page.md").write_text(" ".join(f"`{code}`" for code in wrong + right) + f"\n{drawing}\n")
    assert list(missing("page.md")) == [*wrong, "nowhere/"]


def anchors(text):
    """The names of a page's headings in links, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page):
    """Links of a page to files or headings that are not there."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        if not place.exists() or (anchor and anchor not in anchors(place.read_text(encoding="utf-8"))):
            yield target


def test_every_link_leads_to_a_page_and_a_heading():
    """In README, the pages of docs/ and those for the next owner."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert {str(page.relative_to(ROOT)): found for page in pages if (found := list(broken(page)))} == {}


def test_a_link_to_nowhere_is_found(tmp_path):
    """A page or a heading that is not there; a line in a block of code is no heading."""
    page = tmp_path / "page.md"
    page.write_text("# `A` b, c\n```\n# code\n```\n[1](#a-b-c) [2](#code) [3](no.md) [4](page.md#no) [5](https://x)")
    assert list(broken(page)) == ["#code", "no.md", "page.md#no"]


def test_the_index_names_every_page():
    """docs/README.md leads to each page of its folder."""
    index = ROOT / "docs" / "README.md"
    linked = {path for path in LINK.findall(index.read_text(encoding="utf-8")) if "/" not in path}
    pages = {page.name for page in index.parent.glob("*.md")} - {"README.md"}
    assert pages - linked == set()


def test_architecture_names_every_room():
    """A folder or module at the top of the package that the page does not tell of is a hole in the map."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    rooms += [path.name for path in PACKAGE.glob("*.py") if path.name != "__main__.py"]
    assert [room for room in rooms if room not in text] == []


def test_test_files_mirror_modules():
    """`tests/ROOM/test_X.py` is about `ROOM/X.py`, or a part of it (`test_X_topic.py`); others are listed above."""
    strangers = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT / "tests")
        if path.parts[0] in PROMISE_FOLDERS or str(path) in PROMISES or "sources" in path.parts:
            continue
        words = path.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
        rooms = [base / path.parent for base in (PACKAGE, ROOT)]
        if not any((room / name).is_dir() or (room / f"{name}.py").exists() for room in rooms for name in names):
            strangers.append(str(path))
    assert strangers == []


def test_the_list_of_promises_holds_what_is_there():
    """A promise whose file is gone is taken off the list."""
    assert [name for name in [*PROMISES, *PROMISE_FOLDERS] if not (ROOT / "tests" / name).exists()] == []
