import pytest

from stream.cli.threads import VARIABLES, use_one_thread


def test_the_worker_uses_one_thread_whatever_is_set_and_other_commands_unless_more_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"OMP_NUM_THREADS": "8"}
    monkeypatch.setattr("stream.cli.threads.os.environ", environment)
    use_one_thread()
    assert environment == dict.fromkeys(VARIABLES, "1") | {"OMP_NUM_THREADS": "8"}
    use_one_thread(override=True)
    assert environment == dict.fromkeys(VARIABLES, "1")
