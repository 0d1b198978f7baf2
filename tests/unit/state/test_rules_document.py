"""The document of rules: bytes, schema and limits. The messages are in ``tests/cli/test_merchandising.py``."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from state import InvalidEvent
from state.domain.rules import CompiledRules, kind_of
from state.domain.selection import select
from state.events.rules import KINDS, MAX_DOCUMENT_BYTES, Rule, Rules, decode_rules, encode_rules, rules_schema
from tests.unit.state.selections import Ranked, history, in_force, items
from tests.unit.state.test_selection import documents

SCHEMA = Draft202012Validator(rules_schema())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "items", "unless", "stock_codes", "most", "rules", "customers", "from"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(documents, st.integers(0, 2**53))
def test_a_document_is_the_same_after_its_json_and_valid_by_the_schema(rules: tuple[Rule, ...], version: int) -> None:
    document = Rules(version=version, rules=rules)
    raw = encode_rules(document)
    try:
        assert decode_rules(raw) == document
    except InvalidEvent as error:
        assert "until" in str(error) or "from" in str(error), error  # noqa: PT017 - a strategy may give such a span
    SCHEMA.validate(json.loads(raw))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=80)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"rules": [value]}).encode())
    | st.tuples(st.sampled_from(["exclude", "cap", "pin", "only"]), json_values, json_values).map(
        lambda each: json.dumps({"rules": [{"kind": each[0], "name": "a", "items": each[1], "most": each[2]}]}).encode()
    )
)
def test_any_bytes_are_a_document_that_compiles_or_have_a_reason(raw: bytes) -> None:
    try:
        document = decode_rules(raw)
    except InvalidEvent as error:
        assert str(error).endswith(".")  # noqa: PT017 - most bytes are none
    else:
        CompiledRules(document)


@pytest.mark.parametrize(
    "document",
    [
        {"rules": [{"kind": "cap", "name": "a", "most": 0}]},
        {"rules": [{"kind": "cap", "name": "", "most": 1}]},
        {"rules": [{"kind": "cap", "name": "a", "most": 1, "more": 1}]},
        {"rules": [{"kind": "magic", "name": "a"}]},
        {"rules": [{"kind": "promote", "name": "a", "share": 1.1}]},
        {"rules": [{"kind": "promote", "name": "a", "share": 0.5, "slot": "new"}]},
        {"rule": []},
    ],
)
def test_the_schema_refuses_what_the_decoder_refuses(document: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(document)
    with pytest.raises(InvalidEvent):
        decode_rules(json.dumps(document).encode())


def test_no_value_is_a_document_without_rules_and_a_large_one_is_refused() -> None:
    assert decode_rules(None) == Rules()
    with pytest.raises(InvalidEvent, match="may have at most 1,000,000"):
        decode_rules(b" " * (MAX_DOCUMENT_BYTES + 1))


def test_the_examples_of_the_how_to_are_valid_and_one_of_every_kind_acts() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "set-rules.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL) if block.startswith('{"rules": [')]
    documents = [decode_rules(block.encode()) for block in blocks]
    assert [len(document.rules) > 0 for document in documents] == [True, True]
    every = documents[1]
    assert {kind_of(rule) for rule in every.rules} == set(KINDS)
    shop = items(
        **{"22139": {}, "22613": {}, "T": {"attributes": {"channel": "trade"}}, "G": {"category": ("Gifts",)}},
        **{f"B{number}": {"category": (f"C{number}",), "attributes": {"brand": "x"}} for number in range(3)},
        O={"attributes": {"brand": "own"}},
        S={"category": ("Sale",)},
    )
    customer = history((50, "G"), (95, "O"))
    order = ["22139", "T", "G", "O", "B0", "B1", "B2", "S", "22613"]
    candidates = [Ranked(code, 0.5 - number / 20) for number, code in enumerate(order)]
    found = select(candidates, customer, in_force(*every.rules, catalogue=shop), 5, unranked=lambda code: None)
    assert [one.stock_code for one in found.items] == ["22613", "B0", "B1", "S"]
