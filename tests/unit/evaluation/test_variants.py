"""Models and options, as they are written on the command line."""

import pytest

from training.errors import UnknownModel
from training.evaluation.variants import Variant, make, parse
from training.models import installed


def test_a_name_may_be_written_as_in_papers_and_comes_once() -> None:
    assert parse("GP-TopFreq, ease,gp_topfreq") == [Variant("gp_topfreq"), Variant("ease")]


def test_without_names_all_models_are_compared() -> None:
    assert [str(variant) for variant in parse(" ")] == installed()


def test_options_stand_behind_colons_and_numbers_are_numbers() -> None:
    (found,) = parse("basket-LSTM:epochs=3:share=.5:without=text")
    assert found == Variant("basket_lstm", (("epochs", 3), ("share", 0.5), ("without", "text")))
    assert str(found) == "basket_lstm:epochs=3:share=0.5:without=text"


@pytest.mark.parametrize("text", ["ease:", "ease:window", "ease:window=", "ease:=3"])
def test_half_an_option_is_refused(text: str) -> None:
    with pytest.raises(UnknownModel, match="it looks like ease:option=value"):
        parse(text)


def test_an_option_reaches_the_model() -> None:
    (variant,) = parse("ease:window=0")
    assert vars(make(variant)) != vars(make(Variant("ease")))


def test_an_option_that_the_model_does_not_take_is_named() -> None:
    with pytest.raises(UnknownModel, match=r"ease has no option 'epochs'. Options: window, calibrate"):
        make(Variant("ease", (("epochs", 3),)))


def test_epochs_are_for_models_that_make_any() -> None:
    assert vars(make(Variant("ease"), epochs=3)) == vars(make(Variant("ease")))
