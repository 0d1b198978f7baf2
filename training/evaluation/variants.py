"""Models and variants of them as they are given on the command line: ``basket_lstm``, ``basket_lstm:epochs=3``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_type_hints

import msgspec

from training.errors import UnknownModel
from training.models import check_name, installed, make_model, options_of
from training.models.base import Model

OptionValue = int | float | str

WITHOUT = "without"
"""An option of ``basket_lstm`` for ablations only; the model does not take it: see ``make_with_options``."""

_WORDS: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false"}
"""What the value of an option has to be, by its type."""


class Variant(NamedTuple):
    """A model with options, so that an ablation is compared like any other model."""

    model: str
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __str__(self) -> str:
        """The name under which it is reported: as it was given on the command line."""
        return ":".join([self.model, *(f"{option}={value}" for option, value in self.options)])


def parse_variants(text: str) -> list[Variant]:
    """Parse ``a,b:option=value,b:option=value:other=value``; an empty text gives all models that can be made here.

    Case and hyphens of a name do not matter.

    Raises:
        UnknownModel: There is no model of that name, or an option has no value.
    """
    found = [parse_variant(part.strip()) for part in text.split(",") if part.strip()]
    return list(dict.fromkeys(found)) or [Variant(name) for name in installed()]


def base_variant(variant: Variant, others: Sequence[Variant]) -> Variant | None:
    """What a variant is compared with: the same model with the most of its options, but not all, and no other option.

    For ``a:b=1:c=2`` that is ``a:b=1`` if it is among the others, else ``a``, else None.
    """
    wider = [each for each in others if each.model == variant.model and set(each.options) < set(variant.options)]
    return max(wider, key=lambda each: len(each.options), default=None)


def make_variant(variant: Variant, *, epochs: int | None = None) -> Model:
    """Make the model of a variant.

    Args:
        variant: Name and options.
        epochs: Passes over the data, for models trained in epochs whose options do not give their number.

    Raises:
        UnknownModel: There is no such model, or it does not take such an option or value.
    """
    return make_with_options(variant.model, model_options(variant, epochs=epochs))


def make_with_options(name: str, options: Mapping[str, Any]) -> Model:
    """Make a model with options as ``model_options`` returns them: those of ``make_model``, and ``without``.

    Raises:
        UnknownModel: No model is called that, or an option has a value that the model does not know.
    """
    model = make_model(name, **{option: value for option, value in options.items() if option != WITHOUT})
    if WITHOUT in options:
        from training.models.basket_lstm.ablation import leave_out
        from training.models.basket_lstm.model import BasketLstm

        if not isinstance(model, BasketLstm):
            raise UnknownModel(f"{name} has no option {WITHOUT!r}.")
        leave_out(model, options[WITHOUT])
    return model


def model_options(variant: Variant, *, epochs: int | None = None) -> dict[str, Any]:
    """The options of a variant as ``make_with_options`` takes them, each of its declared type; see ``make_variant``."""
    if not variant.options and epochs is None:
        return {}
    plain = make_model(variant.model)
    taken, types = options_of(plain), get_type_hints(type(plain).__init__)
    if variant.model == "basket_lstm":
        taken, types = [*taken, WITHOUT], {**types, WITHOUT: str}
    options: dict[str, Any] = {}
    for option, value in variant.options:
        if option not in taken:
            raise UnknownModel(
                f"{variant.model} has no option {option!r}. Options: {', '.join(taken) or 'it has none'}."
            )
        kind = types[option]
        try:
            options[option] = msgspec.convert(str(value), kind, strict=False, dec_hook=lambda known, text: known(text))
        except msgspec.ValidationError:
            raise UnknownModel(
                f"{option} of {variant.model} is {_WORDS.get(kind, 'of another kind')}, not {value!r}."
            ) from None
    if epochs is not None and "epochs" in taken:
        options.setdefault("epochs", epochs)
    return options


def parse_variant(text: str) -> Variant:
    """Parse one variant, ``b:option=value:other=value``.

    Raises:
        UnknownModel: There is no model of that name, or an option has no value.
    """
    name, *parts = text.split(":")
    model = name.strip().lower().replace("-", "_")
    check_name(model)
    options: list[tuple[str, OptionValue]] = []
    for part in parts:
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not (option and equals and value):
            raise UnknownModel(f"{part!r} of {text!r} is no option: it looks like {model}:option=value.")
        options.append((option, _value(value)))
    return Variant(model, tuple(options))


def _value(text: str) -> OptionValue:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
