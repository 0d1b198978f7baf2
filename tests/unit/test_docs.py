"""The documentation names files, commands, options, settings and modules that exist, and its links lead somewhere."""

import itertools
import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest
import yaml

from state.settings import PREFIX, Settings
from stream.cli.main import COMMANDS, load_command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOG = DOCS / "research" / "log.md"
"""The research log is kept as it was written: its words and paths are those of the day."""

PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + [*DOCS.rglob("*.md")]
)
CARDS = sorted({*(DOCS / "models").glob("*.md")} - {DOCS / "models" / "index.md"})
CARD_HEADINGS = ["Intended use", "Inputs", "Training", "Results", "Limits"]
CURRENT = [page for page in PAGES if page not in (LOG, ROOT / "CHANGELOG.md")]

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4,}\S.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s;=(`])nextbasket ([a-z][a-z-]*)(?=[\s`]|$)(.*)")
MODULE = re.compile(r"python -m ((?:bench|tests)[\w.]*)")
REPOSITORY_PATH = re.compile(r"^(?:state|training|stream|tests|bench|docs)/[\w./*{},-]*$")
VARIABLE = re.compile(rf"{PREFIX}(?!TEST_|REQUIRE_)([A-Z][A-Z0-9_]*[A-Z0-9])")


def shown(page: Path) -> str:
    """A page's path as people write it."""
    return str(page.relative_to(ROOT))


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def code(page: Path) -> tuple[str, ...]:
    """Every line of code on a page: of blocks, and spans within sentences."""
    blocks = [line for block in FENCE.findall(text(page)) for line in block.splitlines()[1:-1]]
    rest = FENCE.sub("", text(page))
    return (*blocks, *(line.strip() for line in INDENTED.findall(rest)), *SPAN.findall(rest))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of a page's headings, as MkDocs and the forges make them."""
    names = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text(page)), re.MULTILINE):
        plain = unicodedata.normalize("NFKD", LINK.sub("]", heading)).encode("ascii", "ignore").decode()
        names.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return frozenset(names)


@cache
def options(command: str) -> frozenset[str]:
    """Options of a command, those of its subcommands included."""
    found = load_command(command)
    parts = [found, *getattr(found, "commands", {}).values()]
    named = {name for part in parts for option in part.params for name in (*option.opts, *option.secondary_opts)}
    return frozenset(named | {"--help"})


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_relative_link_leads_to_a_file_and_an_anchor(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link} leads to no heading of {target.name}"


@pytest.mark.parametrize("page", CURRENT, ids=shown)
def test_every_command_and_option_exists(page: Path) -> None:
    for line in code(page):
        for command, rest in COMMAND.findall(line):
            assert command in COMMANDS, f"there is no command {command!r}: {line}"
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.split("#")[0].split(" && ")[0]):
                assert option in options(command), f"{command} has no option {option}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_module_to_run_exists(page: Path) -> None:
    for module in MODULE.findall(text(page)):
        path = ROOT.joinpath(*module.rstrip(".").split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"python -m {module} cannot run"


@pytest.mark.parametrize("page", CURRENT, ids=shown)
def test_every_path_of_the_repository_exists(page: Path) -> None:
    for span in SPAN.findall(FENCE.sub("", text(page))):
        if REPOSITORY_PATH.match(span):
            pieces = [part.split(",") for part in re.split(r"[{}]", span)]
            for path in map("".join, itertools.product(*pieces)):
                assert any(ROOT.glob(path.rstrip("/"))), f"there is no {path}"


@pytest.mark.parametrize("page", CURRENT, ids=shown)
def test_every_setting_exists(page: Path) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert set(VARIABLE.findall(text(page))) <= known


def test_every_page_is_in_the_navigation() -> None:
    def leaves(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        return [leaf for child in children for leaf in leaves(child)]

    listed = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_page_of_evaluation_stays_short() -> None:
    assert len(text(DOCS / "explanation" / "evaluation.md").splitlines()) <= 250


@pytest.mark.parametrize("card", CARDS, ids=shown)
def test_a_model_card_stays_short(card: Path) -> None:
    assert len(text(card).splitlines()) <= 120


@pytest.mark.parametrize("card", CARDS, ids=shown)
def test_every_model_card_has_the_same_headings(card: Path) -> None:
    assert re.findall(r"^## (.+)$", FENCE.sub("", text(card)), re.MULTILINE) == CARD_HEADINGS


@cache
def described(card: Path) -> frozenset[str]:
    """Models that a card describes: named in a heading, or alone in the first cell of a row, above the results."""
    description = text(card).partition("\n## Results")[0]
    headings = re.findall(r"^#.*$", description, re.MULTILINE)
    rows = re.findall(r"^\| *`(\w+)` *\|", description, re.MULTILINE)
    return frozenset([*rows, *(name for heading in headings for name in SPAN.findall(heading))])


def test_every_model_is_described_on_one_card() -> None:
    from training.models import MODELS

    cards = {name: [shown(card) for card in CARDS if name in described(card)] for name in MODELS}
    assert {name: found for name, found in cards.items() if len(found) != 1} == {}
