"""What is imported is declared: a command needs the core, or the core and the extra that its error sentence names."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stream.cli.extras import EXTRA_OF_COMMAND, EXTRAS
from stream.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGES = ("state", "training", "stream")
CORE_COMMANDS = set(COMMANDS) - set(EXTRA_OF_COMMAND)
MAY_BE_ADDED = {
    "api": {"otel"},
    "demo": {"otel"},
    "train": {"otel", "ray"},
    "worker": {"otel"},
    "due": {"parquet"},
    "evaluate": {"report", "ray"},
    "export": {"parquet"},
    "items": {"parquet"},
    "rebuild": {"parquet"},
    "replay": {"parquet", "demo"},
    "simulate": {"parquet"},
}
"""Extras that a command needs for some of its options only (--html), for some files (.parquet), or for example data."""
NEVER_IMPORTED = {
    "cyclonedx-bom",
    "aiokafka",  # Faust imports it
    "setuptools",  # tensorflow-hub imports it
    "tensorboard",  # a program to look at what TensorFlow writes
}

INSTALLED_BY_HAND = {"onnx", "onnxruntime"}
"""What bench/research/onnx.py compares with: its docstring says so."""


@cache
def declared() -> dict[str, list[Requirement]]:
    """The requirements of the core (""), and of each extra without those of the extras it includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in listed.items()}


def distributions(extra: str) -> set[str]:
    """The names of what an extra, or the core (""), installs directly."""
    found: set[str] = set()
    for requirement in declared()[extra]:
        if requirement.name == "nextbasket":
            found |= {name for included in requirement.extras for name in distributions(included)}
        else:
            found.add(canonicalize_name(requirement.name))
    return found


@cache
def modules() -> dict[str, set[str]]:
    """Distribution: the modules it has."""
    found: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            found.setdefault(canonicalize_name(name), set()).add(module)
    return found


def modules_of(*extras: str) -> set[str]:
    names = {name for extra in extras for name in distributions(extra)}
    return {module for name in names for module in modules().get(name, set())}


def is_foreign(module: str) -> bool:
    package = module.partition(".")[0]
    return package not in (*PACKAGES, "tests", "bench") and package not in sys.stdlib_module_names


@cache
def foreign_imports(*folders: str) -> dict[str, str]:
    """Module of another distribution: a file that imports it, wherever in the file."""
    found: dict[str, str] = {}
    for path in (path for name in folders for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found.update({name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names if is_foreign(name)})
    return found


def module_of(command: str) -> str:
    return COMMANDS[command][0].split(":")[0]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports, those within functions too; not those for types only."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True, exclude_type_checking_imports=True)


def reached(graph: grimp.ImportGraph, module: str) -> set[str]:
    """Modules of other distributions that a module imports, directly or through others of ours."""
    return {name for name in graph.find_upstream_modules(module) if is_foreign(name)}


@pytest.mark.parametrize("folders", [PACKAGES, ("tests", "bench")])
def test_every_imported_package_is_declared(folders: tuple[str, ...]) -> None:
    imported = foreign_imports(*folders)
    assert set(imported) > {"scipy", "keras", "numpy"}
    declared_extras = ("", *EXTRAS) if folders == PACKAGES else tuple(declared())
    known = modules_of(*declared_extras)
    missing = {module: path for module, path in imported.items() if module not in known | INSTALLED_BY_HAND}
    assert not missing, "declare these in pyproject.toml, in the core or in an extra"


def test_every_declared_package_is_imported() -> None:
    shipped = {name for extra in ("", *EXTRAS) for name in distributions(extra)}
    unused = {name for name in shipped if not modules().get(name, set()) & set(foreign_imports(*PACKAGES))}
    assert unused - NEVER_IMPORTED == set()


@pytest.mark.parametrize("command", sorted(CORE_COMMANDS))
def test_a_command_of_the_core_needs_the_core_only(graph: grimp.ImportGraph, command: str) -> None:
    needed = reached(graph, module_of(command))
    assert "tensorflow" not in needed
    assert needed - modules_of("", *MAY_BE_ADDED.get(command, ())) == set()


@pytest.mark.parametrize("command", sorted(EXTRA_OF_COMMAND))
def test_the_extra_of_a_command_has_all_it_needs(graph: grimp.ImportGraph, command: str) -> None:
    needed = reached(graph, module_of(command))
    assert needed - modules_of("", EXTRA_OF_COMMAND[command], *MAY_BE_ADDED.get(command, ())) == set()


def test_the_extra_of_training_has_all_that_models_need(graph: grimp.ImportGraph) -> None:
    models = {name for name in graph.modules if name.startswith(("training.models.", "training.trainer"))}
    needed = {name for model in models for name in reached(graph, model)}
    assert "tensorflow" in needed
    assert needed - modules_of("", "train", "lightgbm", "ray") == set()


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_the_sentences_about_extras_know_what_is_declared(extra: str) -> None:
    imported = modules_of(extra) & {*foreign_imports(*PACKAGES), "tensorboard"}
    assert EXTRAS[extra] == imported - modules_of("")


LOCKS = {
    "requirements-worker.lock": {"", "api", "otel"},
    "requirements.lock": {"", "api", "otel", "train", "report", "demo"},
}
LOCKS["requirements-dev.lock"] = {*LOCKS["requirements.lock"], "dev", "docs"}


def locked(name: str) -> dict[str, set[str]]:
    """Distribution: its versions in a lock file (one, or one for each of several Pythons)."""
    found: dict[str, set[str]] = {}
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    for distribution, version in pins:
        found.setdefault(canonicalize_name(distribution), set()).add(version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_what_is_declared(name: str) -> None:
    versions = locked(name)
    for requirement in (requirement for extra in LOCKS[name] for requirement in declared()[extra]):
        if requirement.name == "nextbasket":
            continue
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement} is not in {name}: make lock"
        assert all(version in requirement.specifier for version in found), f"{requirement} is {found}: make lock"


@pytest.mark.parametrize("module", ["aiokafka.codec", "kafka.codec"])
def test_every_codec_of_kafka_is_installed(module: str) -> None:
    codecs = import_module(module)
    missing = [name for name in ("gzip", "snappy", "lz4", "zstd") if not getattr(codecs, f"has_{name}")()]
    assert not missing


def test_what_is_tested_is_what_is_served() -> None:
    worker, everything, developer = (locked(name) for name in LOCKS)
    assert worker.items() <= everything.items()
    assert everything.items() <= developer.items()
    assert {"tensorflow", "pyarrow", "matplotlib", "scikit-learn"}.isdisjoint(worker)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.count("--hash=sha256:") >= len(locked(name))
    assert "://" not in text
    assert "--index-url" not in text
