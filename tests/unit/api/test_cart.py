"""A cart: its items are not offered, and what is bought together with them rises."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.api.cart import rank_for_cart
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import CountingScorer
from training.serving.scorer import Candidate

CANDIDATES = [Candidate("A", 0.5), Candidate("B", 0.4), Candidate("C", 0.1), Candidate("D", 0.1, "A")]


def codes(candidates: list[Candidate]) -> list[str]:
    return [candidate.stock_code for candidate in candidates]


def test_without_scores_only_the_cart_is_left_out() -> None:
    assert rank_for_cart(CANDIDATES, {"B": {}}) == [CANDIDATES[0], *CANDIDATES[2:]]


def test_what_is_bought_together_rises_and_names_its_source() -> None:
    together = {"X": {"C": 0.3, "D": -0.2}, "Y": {"C": 0.5}, "A": {}}
    ranked = rank_for_cart(CANDIDATES, together, weight=4.0)
    assert codes(ranked) == ["C", "B", "D"]  # logits −2.2 + 3.2 / √3, −0.4, −2.2 − 0.8 / √3
    assert [each.source_item for each in ranked] == ["Y", None, "A"]
    assert [round(each.probability, 3) for each in ranked] == [0.413, 0.4, 0.065]


@given(
    st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.floats(0, 1)), unique_by=lambda each: each[0]),
    st.dictionaries(st.sampled_from("ABCXY"), st.dictionaries(st.sampled_from("ABCDEFGHZ"), st.floats(-1, 1))),
)
def test_every_candidate_outside_the_cart_remains_once_by_falling_chance(
    pairs: list[tuple[str, float]], together: dict[str, dict[str, float]]
) -> None:
    candidates = sorted((Candidate(*pair) for pair in pairs), key=lambda each: -each.probability)
    ranked = rank_for_cart(candidates, together)
    kept = [each for each in candidates if each.stock_code not in together]
    assert sorted(codes(ranked)) == sorted(codes(kept))
    chances = [each.probability for each in ranked]
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= chance <= 1 for chance in chances)
    if not any(together.values()):
        assert ranked == kept


class PairingScorer(CountingScorer):
    """Knows that a mat goes with a lamp."""

    def bought_together(self, stock_codes: Any) -> dict[str, float]:
        return {"MAT": 2.0} if "LAMP" in stock_codes else {}


async def test_a_cart_changes_the_list_of_a_customer_and_of_an_anonymous_visitor() -> None:
    shop = Shop()
    shop.scorer = PairingScorer()
    for path in ("/v1/customers/anna/recommendations", "/v1/recommendations"):
        async with shop.client() as client:
            before = (await client.get(path)).json()
            answer = (await client.post(path, json={"cart": ["LAMP", "PEN"], "limit": 2})).json()
        assert answer["items"][0]["stock_code"] == "MAT"
        assert answer["items"][0]["reason"] == {
            "code": "bought_together",
            "evidence": {"with": "LAMP", "description": "ITEM LAMP"},
        }
        model = {item["stock_code"]: item["probability"] for item in before["items"]}
        assert {item["stock_code"]: model[item["stock_code"]] for item in answer["items"]} == {
            item["stock_code"]: item["probability"] for item in answer["items"]
        }
        assert answer["cart"] == {"known": ["LAMP"], "unknown": ["PEN"]}


async def test_a_body_is_read_strictly() -> None:
    async with Shop().client() as client:

        async def detail(**body: Any) -> str:
            answer = await client.post("/v1/recommendations", json=body)
            assert answer.status_code == 400
            return str(answer.json()["detail"])

        assert "`crt`" in await detail(crt=["A"])
        assert (await detail(cart="A")).startswith("cart: expected `array`")
        assert (await detail(cart=["A", 5])).startswith("cart[1]: expected `str`")
        assert (await detail(limit=0)).startswith("limit: expected `int` >= 1")
        assert (await detail(cart=["A"] * 101)).startswith("cart: expected `array` of length <= 100")
        assert (await client.post("/v1/recommendations", json=[])).status_code == 400
        assert (await client.post("/v1/recommendations", content=b"{}")).status_code == 415
