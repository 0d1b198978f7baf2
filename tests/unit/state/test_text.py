"""Text is repaired where it is very likely broken, and only there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.events.text import clean_text


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("Gift Voucher Â£40.00", "Gift Voucher £40.00"),
        ("DON\u00e2\u20ac\u2122T FORGET", "DON’T FORGET"),
        ("DON\u00e2\u0080\u0099T FORGET", "DON’T FORGET"),  # decoded as Latin-1
        ("DON\u0092T FORGET", "DON’T FORGET"),
        ("IT\u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2S", "IT’S"),  # twice
        ("CRÃˆME BRÃ›LÃ‰E", "CRÈME BRÛLÉE"),
        ("Å¼Ã³Å‚Ä‡", "żółć"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
        ("æ—¥æœ¬", "日本"),
        ("CAFE\u0301", "CAFÉ"),
        ("\ufeffMUG", "MUG"),
        ("ï»¿MUG", "MUG"),
        ("\ufffd40 VOUCHER", "40 VOUCHER"),
        ("ï¿½40 VOUCHER", "40 VOUCHER"),
        ("RED\x00 \u202eMUG", "RED MUG"),
        ("  WHITE   HANGING\tHEART\r\n", "WHITE HANGING HEART"),
        ("WHITE\u00a0HEART", "WHITE HEART"),
        (" \t ", ""),
    ],
)
def test_broken_text_is_repaired(broken: str, repaired: str) -> None:
    assert clean_text(broken) == repaired


@pytest.mark.parametrize(
    "text",
    [
        "PACK OF 20 SPACEBOY NAPKINS",
        "Gift Voucher £40.00",
        "don’t",
        "CAFÉ AU LAIT",
        "NESTLÉ®",
        "NESTLÉ® CAFÉ®",
        "SOUFFLÉ™ “DELUXE”",
        "HYVÄ®",
        "MENÜ®",
        "À LA CARTE",
        "MANHÃ",
        "привет",
        "日本",
        "? sold as sets?",
        "5€ − 50 %",
        "👩‍🍳",
    ],
)
def test_valid_text_is_not_changed(text: str) -> None:
    assert clean_text(text) == text


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("ÃÂâÄÐ®£\u0092\u0303\ufffd\u200b "), max_size=12))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)

    assert clean_text(once) == once


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc", "Cf"]), max_size=20))
def test_western_text_is_recovered_from_a_wrong_encoding(text: str) -> None:
    assert clean_text(text.encode().decode("latin-1")) == clean_text(text)
