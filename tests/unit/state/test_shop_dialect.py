import json
import re
from typing import Any

import pytest

from state import InvalidEvent, Settings, load_settings
from state.errors import DialectDiffers, SettingsError
from state.events.shop_dialect import ShopDialect, in_words, make_dialect, require_dialect, shop_dialect, zone_note
from state.events.wire import Decoder

PLAIN = ShopDialect(name="plain")
UCI = ShopDialect(name="uci")
WITH_CODES = ShopDialect(name="plain", unsellable_codes=("FEE", "POST*"))


def refusal(recorded: ShopDialect, configured: ShopDialect) -> str:
    with pytest.raises(DialectDiffers) as raised:
        require_dialect(recorded, configured, made="Model 1 was trained", otherwise="promote another model")
    return str(raised.value)


@pytest.mark.parametrize("dialect", [PLAIN, UCI, WITH_CODES])
def test_equal_dialects_are_accepted(dialect: ShopDialect) -> None:
    require_dialect(dialect, dialect, made="Model 1 was trained", otherwise="")


def test_unsellable_codes_in_capitals_or_not_are_the_same() -> None:
    lower = ShopDialect(name="plain", unsellable_codes=("fee", "post*"))
    require_dialect(WITH_CODES, lower, made="Model 1 was trained", otherwise="")


def test_a_refusal_names_both_dialects_and_the_setting() -> None:
    assert refusal(UCI, PLAIN) == (
        "Model 1 was trained in the dialect uci, and this process reads invoices in the dialect plain. "
        "Set NEXTBASKET_DIALECT=uci, or promote another model."
    )


def test_a_refusal_names_both_lists_of_unsellable_codes_and_the_setting() -> None:
    assert refusal(WITH_CODES, PLAIN) == (
        "Model 1 was trained in the dialect plain with the unsellable codes FEE,POST*, and this process reads invoices "
        "in the dialect plain without unsellable codes. Set NEXTBASKET_UNSELLABLE_CODES=FEE,POST*, or promote another "
        "model."
    )
    assert "Leave out NEXTBASKET_UNSELLABLE_CODES, or" in refusal(PLAIN, WITH_CODES)
    both = refusal(UCI, WITH_CODES)
    assert "Set NEXTBASKET_DIALECT=uci and leave out NEXTBASKET_UNSELLABLE_CODES, or" in both


def test_a_refusal_is_an_error_of_the_settings() -> None:
    assert issubclass(DialectDiffers, SettingsError)


def test_another_zone_is_a_note_and_no_refusal() -> None:
    london = ShopDialect(name="uci", timezone="Europe/London")
    require_dialect(london, UCI, made="", otherwise="")
    assert zone_note(UCI, UCI, made="") is None
    assert zone_note(london, UCI, made="Model 1 was trained") == (
        "Model 1 was trained with dates that name no zone in Europe/London, and this process reads them in UTC. "
        "Set NEXTBASKET_TIMEZONE=Europe/London, unless all dates name their zone."
    )


def test_the_dialect_of_the_settings_does_not_depend_on_the_order_of_the_codes() -> None:
    one, other = (shop_dialect(load_settings({"NEXTBASKET_UNSELLABLE_CODES": codes})) for codes in ("b, a,,b ,", "a,b"))
    assert one == other
    assert one.unsellable_codes == ("a", "b")
    assert in_words(one) == "in the dialect plain with the unsellable codes a,b"


@pytest.mark.parametrize("codes", ["*", "POST,**", " * ,FEE"])
def test_a_pattern_of_every_code_is_refused(codes: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("NEXTBASKET_UNSELLABLE_CODES cannot be used: the pattern *")):
        load_settings({"NEXTBASKET_UNSELLABLE_CODES": codes})


@pytest.mark.parametrize(
    ("code", "sold"),
    [("POST", False), ("post-eu", False), ("FEE", False), ("Fee", False), ("FEE1", True), ("A1", False), ("A12", True)],
)
def test_patterns_are_those_of_a_shell_in_capitals_or_not(code: str, sold: bool) -> None:
    dialect = make_dialect(ShopDialect(name="plain", unsellable_codes=("POST*", "fee", "A?")))
    assert dialect.is_product(code) is sold
    assert dialect.stock_code(code) == code
    assert dialect.name == "plain"


def test_unsellable_codes_add_to_those_of_the_dialect() -> None:
    dialect = make_dialect(ShopDialect(name="uci", unsellable_codes=("99*",)))
    assert not dialect.is_product("POST")
    assert not dialect.is_product("99999")
    assert dialect.is_product("22613")
    assert dialect.stock_code("85123a") == "85123A"
    assert dialect.is_return("C123456")


def event(*codes: Any) -> bytes:
    lines = [{"stock_code": code, "quantity": 1, "unit_price": 2.5} for code in codes]
    whole = {"invoice_no": "1", "customer_id": "7", "invoice_date": "2011-12-09T12:50:00Z", "lines": lines}
    return json.dumps(whole).encode()


def test_lines_of_unsellable_codes_are_left_out_of_events_and_counted_as_those_of_the_dialect() -> None:
    settings = load_settings({"NEXTBASKET_UNSELLABLE_CODES": "POST*,7"})
    invoice = Decoder(settings).decode(event("22613", "POSTAGE", " post ", 7, "77"), now=2_000_000_000)
    assert [line.stock_code for line in invoice.lines] == ["22613", "77"]
    assert invoice.excluded_lines == {"not_a_product": 3}
    as_uci = Decoder(Settings(dialect="uci")).decode(event("22613", "POST", "M", "D"), now=2_000_000_000)
    assert as_uci.excluded_lines == {"not_a_product": 3}


def test_an_unsellable_line_that_breaks_the_contract_is_still_refused() -> None:
    settings = load_settings({"NEXTBASKET_UNSELLABLE_CODES": "POST"})
    broken = event("POST").replace(b'"quantity": 1', b'"quantity": "one"')
    with pytest.raises(InvalidEvent, match="quantity"):
        Decoder(settings).decode(broken, now=2_000_000_000)
