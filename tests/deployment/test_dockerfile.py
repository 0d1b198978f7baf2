"""The Dockerfile builds from the lock with hashes, runs as nobody special, and copies only what exists."""

import re
from pathlib import Path

import pytest

from state.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Instruction and argument, one a logical line."""
    text = (ROOT / "Dockerfile").read_text()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def arguments(instructions: list[tuple[str, str]], wanted: str) -> list[str]:
    return [argument for name, argument in instructions if name == wanted]


def final_stage(instructions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    last = max(place for place, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


def test_one_pinned_base_for_all_stages(instructions: list[tuple[str, str]]) -> None:
    bases = {argument.split()[0] for argument in arguments(instructions, "FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.12\.\d+-slim-\w+", bases.pop())


def test_it_runs_as_a_user_without_rights(instructions: list[tuple[str, str]]) -> None:
    user = arguments(final_stage(instructions), "USER")
    assert len(user) == 1
    assert int(user[0].split(":")[0]) > 0


def test_it_installs_exactly_what_is_locked(instructions: list[tuple[str, str]]) -> None:
    installs = [run for run in arguments(instructions, "RUN") if "pip install" in run]
    assert any("--require-hashes" in run and "--no-deps" in run and "requirements.lock" in run for run in installs)
    assert all("--no-deps" in run for run in installs)
    assert not any("index-url" in run or "://" in run for run in installs)
    assert not any("pip" in run for run in arguments(final_stage(instructions), "RUN"))


def test_what_it_copies_exists_and_is_not_ignored(instructions: list[tuple[str, str]]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for argument in arguments(instructions, "COPY"):
        if "--from=" not in argument:
            *sources, _ = argument.split()
            copied |= {source.removeprefix("./") for source in sources}
    assert copied == allowed
    for name in copied:
        assert (ROOT / name).exists(), f"{name} is copied and does not exist"
    assert not arguments(instructions, "ADD")


def test_it_has_a_health_check_that_is_a_program(instructions: list[tuple[str, str]]) -> None:
    (check,) = arguments(final_stage(instructions), "HEALTHCHECK")
    (code,) = re.findall(r'CMD \["python", "-c", "(.+)"\]', check)
    compile(code, "health check", "exec")


def test_its_settings_are_settings(instructions: list[tuple[str, str]]) -> None:
    pairs = dict(re.findall(r"(NEXTBASKET_\w+)=(\S+)", " ".join(arguments(final_stage(instructions), "ENV"))))
    settings = load_settings(pairs)
    assert settings.registry == "/registry"


def test_signals_reach_the_program(instructions: list[tuple[str, str]]) -> None:
    assert arguments(final_stage(instructions), "ENTRYPOINT") == ['["nextbasket"]']
