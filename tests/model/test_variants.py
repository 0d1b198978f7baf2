"""Models and options, as they are written on the command line."""

from pathlib import Path

import pytest

from training.errors import UnknownModel
from training.evaluation.variants import (
    Variant,
    base_variant,
    make_variant,
    model_options,
    parse_variant,
    parse_variants,
)
from training.models import installed, options_of


def test_a_name_may_be_written_as_in_papers_and_comes_once() -> None:
    assert parse_variants("GP-TopFreq, ease,gp_topfreq") == [Variant("gp_topfreq"), Variant("ease")]


def test_without_names_all_models_are_compared() -> None:
    assert [str(variant) for variant in parse_variants(" ")] == installed()


def test_options_follow_colons_and_numbers_are_numbers() -> None:
    (found,) = parse_variants("basket-LSTM:epochs=3:share=.5:without=text")
    assert found == Variant("basket_lstm", (("epochs", 3), ("share", 0.5), ("without", "text")))
    assert str(found) == "basket_lstm:epochs=3:share=0.5:without=text"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ease:window=3:calibrate=false", "ease:window=3"),
        ("ease:window=3", "ease"),
        ("ease:window=4:calibrate=false", "ease"),
        ("ease", None),
        ("tifu_knn:window=3", None),
    ],
)
def test_a_variant_is_one_of_the_nearest_with_fewer_options(text: str, expected: str | None) -> None:
    others = parse_variants("count_demand,ease,ease:calibrate=true,ease:window=3")
    found = base_variant(parse_variant(text), others)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize("text", ["ease:", "ease:window", "ease:window=", "ease:=3"])
def test_half_an_option_is_refused(text: str) -> None:
    with pytest.raises(UnknownModel, match="it looks like ease:option=value"):
        parse_variants(text)


def test_an_option_reaches_the_model() -> None:
    (variant,) = parse_variants("ease:window=0")
    assert vars(make_variant(variant)) != vars(make_variant(Variant("ease")))


def test_an_option_that_the_model_does_not_take_is_named() -> None:
    with pytest.raises(UnknownModel, match=r"ease has no option 'epochs'. Options: window, calibrate"):
        make_variant(Variant("ease", (("epochs", 3),)))


def test_epochs_are_for_models_that_make_any() -> None:
    assert vars(make_variant(Variant("ease"), epochs=3)) == vars(make_variant(Variant("ease")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TIFU-KNN:group_decay=1:neighbours=20", {"group_decay": 1.0, "neighbours": 20}),
        ("ease:calibrate=false", {"calibrate": False}),
        ("text_lstm:encoder=3:cache=aside", {"encoder": "3", "cache": Path("aside")}),
        ("ease", {}),
    ],
)
def test_options_have_the_type_that_the_model_declares(text: str, expected: dict[str, object]) -> None:
    found = model_options(parse_variant(text))
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ease:window=wide", "window of ease is a whole number, not 'wide'."),
        ("ease:window=2.5", "window of ease is a whole number, not 2.5."),
        ("up_cf:locality=near", "locality of up_cf is a number, not 'near'."),
        ("ease:calibrate=maybe", "calibrate of ease is true or false, not 'maybe'."),
    ],
)
def test_a_value_of_another_type_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UnknownModel, match=sentence):
        make_variant(parse_variant(text))


@pytest.mark.parametrize("text", ["", "ease,count_demand", "eas"])
def test_one_model_is_one(text: str) -> None:
    with pytest.raises(UnknownModel, match="There is no model"):
        parse_variant(text)


def test_an_option_of_its_own_comes_before_the_epochs_of_all() -> None:
    assert model_options(parse_variant("label_lstm:epochs=2"), epochs=3) == {"epochs": 2}
    assert model_options(parse_variant("label_lstm"), epochs=3) == {"epochs": 3}


def test_without_leaves_out_parts_of_the_basket_lstm_only() -> None:
    plain, ablated = (make_variant(parse_variant(text)) for text in ("basket_lstm", "basket_lstm:without=text"))
    assert options_of(plain) == options_of(ablated)
    assert vars(ablated)["build_network"] != vars(plain)["build_network"]
    corrected = make_variant(parse_variant("basket_lstm:without=correction"))
    assert vars(corrected)["build_network"] == vars(plain)["build_network"]
    assert vars(corrected)["rate_scales"] == (0.0,)
    with pytest.raises(UnknownModel, match=r"nothing called 'luck' to leave out"):
        make_variant(parse_variant("basket_lstm:without=luck"))
    with pytest.raises(UnknownModel, match=r"ease has no option 'without'. Options: window, calibrate"):
        make_variant(parse_variant("ease:without=text"))
    with pytest.raises(UnknownModel, match=r"has no option 'colour'. Options: epochs, .*, without\."):
        make_variant(parse_variant("basket_lstm:colour=red"))
