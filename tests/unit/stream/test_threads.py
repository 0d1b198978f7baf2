from pathlib import Path
from types import SimpleNamespace

import pytest

from stream.cli.threads import CORE_TYPE, VARIABLES, choose_kernels, use_one_thread

FLAGS = "fpu sse4_2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values: dict[str, str] = {}
    monkeypatch.setattr("stream.cli.threads.os", SimpleNamespace(environ=values))
    return values


def processor(monkeypatch: pytest.MonkeyPatch, folder: Path, vendor: str, flags: str) -> None:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    monkeypatch.setattr("stream.cli.threads._PROCESSOR", path)


def test_the_worker_uses_one_thread_whatever_is_set_and_other_commands_unless_more_are_set(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor(monkeypatch, tmp_path, "GenuineIntel", FLAGS)
    environment["OMP_NUM_THREADS"] = "8"
    use_one_thread()
    assert environment == dict.fromkeys(VARIABLES, "1") | {"OMP_NUM_THREADS": "8"}
    use_one_thread(override=True)
    assert environment == dict.fromkeys(VARIABLES, "1")


@pytest.mark.parametrize(
    ("vendor", "flags", "set_before", "after"),
    [
        ("AuthenticAMD", FLAGS, {}, {CORE_TYPE: "SkylakeX"}),
        ("AuthenticAMD", FLAGS, {CORE_TYPE: "Haswell"}, {CORE_TYPE: "Haswell"}),
        ("AuthenticAMD", FLAGS.replace("avx512vl", ""), {}, {}),
        ("GenuineIntel", FLAGS, {}, {}),
    ],
)
def test_openblas_uses_avx_512_where_it_would_not_by_itself(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    vendor: str,
    flags: str,
    set_before: dict[str, str],
    after: dict[str, str],
) -> None:
    processor(monkeypatch, tmp_path, vendor, flags)
    environment.update(set_before)
    choose_kernels()
    assert environment == after


def test_a_system_that_does_not_describe_its_processor_changes_nothing(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stream.cli.threads._PROCESSOR", tmp_path / "none")
    choose_kernels()
    assert environment == {}
