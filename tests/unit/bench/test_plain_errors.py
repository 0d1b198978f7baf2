import pytest

from bench.plain_errors import plain_errors, positive
from training.data.errors import NoTable


def test_an_interruption_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, plain_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_an_expected_error_is_a_sentence_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, plain_errors():
        raise NoTable("There is nothing at a.csv.")
    assert end.value.code == 4
    assert capsys.readouterr().err == "There is nothing at a.csv.\n"


def test_a_mistake_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        _ = 1 / 0


def test_a_positive_number_is_at_least_1() -> None:
    assert positive("12") == 12
