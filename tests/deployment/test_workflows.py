"""The workflows of the public forge call steps that exist, on the Pythons that the package promises."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STEPS = ("lint", "docs", "wheel", "test")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    found: dict[str, Any] = loaded["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_every_step_of_ci_is_a_job(jobs: dict[str, Any]) -> None:
    runs = [run for job in jobs.values() for run in commands(job) if run.startswith(".ci/run ")]
    called = {run.removeprefix(".ci/run ") for run in runs}
    assert called == set(STEPS)
    script = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^    ([\w |]+)\) ;;$", script, re.MULTILINE)[0].split(" | ") == list(STEPS)


@pytest.mark.parametrize("job", ["tests", "wheels"])
def test_all_promised_pythons_are_tested(jobs: dict[str, Any], job: str) -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = [line.rsplit(" ", 1)[1] for line in classifiers if ":: Python :: 3." in line]
    assert jobs[job]["strategy"]["matrix"]["python"] == promised


def test_every_job_ends_by_itself(jobs: dict[str, Any]) -> None:
    assert all(job["timeout-minutes"] <= 60 for job in jobs.values())


def test_hooks_use_what_the_lock_file_has() -> None:
    locked = (ROOT / "requirements-dev.lock").read_text()
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    programs = {hook["entry"].split()[0] for hook in repository["hooks"]} - {"sh", ".venv/bin/python"}
    distributions = {Path(program).name.replace("lint-imports", "import-linter") for program in programs}
    assert distributions == {"ruff", "yamllint", "mypy", "import-linter"}
    assert all(re.search(rf"^{name}==", locked, re.MULTILINE) for name in distributions)


def test_the_development_container_installs_by_make() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "make .venv/.installed-dev" in container["postCreateCommand"]
