"""The inputs of the network in the plain form: one customer, one candidate and one number at a time, by name.

Written from the definitions: of ``training.features`` it uses names and the fitted statistics. Bounds are arguments.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from state.domain.history import CustomerHistory, baskets
from state.domain.items import SHARE_HALF_LIVES
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, RECENT, GlobalStatistics
from training.features.basket_lstm.view import BASELINE_INPUTS, ITEM_STATISTIC_INPUTS

STEPS = 12
SMALLEST = 0.02


class Bounds(NamedTuple):
    """How much of a history counts: newest entries for item-to-item scores, and items that may be the nearest."""

    sources: int
    near: int


class Basket(NamedTuple):
    """Units and price by stock code."""

    date: int
    items: dict[str, tuple[float, float]]


class PlainShop:
    """The items of a log at a date."""

    def __init__(self, log: Sequence[Invoice], now: int, statistics: GlobalStatistics) -> None:
        self.now = now
        self.sales: dict[str, list[tuple[int, float]]] = {}
        self.prices: dict[str, float] = {}
        self.texts: dict[str, str | None] = {}
        for invoice in log:
            bought = {line.stock_code: line for line in invoice.lines if line.quantity > 0}
            for code, line in bought.items():
                self.sales.setdefault(code, []).append((invoice.date, 1 / math.sqrt(len(bought))))
                self.prices[code], self.texts[code] = line.unit_price, line.description
        self.index = {code: number for number, code in enumerate(statistics.codes)}
        self.statistics = statistics
        self.weights: dict[str, dict[str, dict[int, float]]] = {
            name: {
                code: dict(zip(lists.neighbour[number].tolist(), lists.weight[number].tolist(), strict=True))
                for code, number in self.index.items()
            }
            for name, lists in statistics.neighbours.items()
        }
        self.greatest = {
            name: max(self.raw(code)[name] for code in self.sales)
            for name in self.raw(next(iter(self.sales)))
            if name.startswith(("demand_", "share_"))
        }
        self.greatest_week = max(self.demand(code, 7.0) for code in self.sales)

    def demand(self, code: str, days: float) -> float:
        return float(sum(0.5 ** ((self.now - date) / DAY / days) for date, _ in self.sales.get(code, ())))

    def raw(self, code: str) -> dict[str, float]:
        """The inputs of an item before those of demand are compared with the greatest."""
        sales = self.sales.get(code, [])
        logs = {days: math.log(SMALLEST + self.demand(code, days)) for days in (1, 3, 7, 14, 30)}
        found = {f"demand_{days}": value for days, value in logs.items()}
        for days in SHARE_HALF_LIVES:
            share = sum(share * 0.5 ** ((self.now - date) / DAY / days) for date, share in sales)
            found[f"share_{days:g}"] = math.log(SMALLEST + share)
        found["demand_ever"] = math.log(1 + len(sales))
        found["trend_3_over_14"] = logs[3] - logs[14] if sales else 0.0
        found["trend_7_over_30"] = logs[7] - logs[30] if sales else 0.0
        found["log_age_days"] = math.log1p((self.now - sales[0][0]) / DAY) if sales else 0.0
        found["log_days_since_sold"] = math.log1p((self.now - sales[-1][0]) / DAY) if sales else 0.0
        found["log_price"] = math.log(self.prices[code]) if sales else 0.0
        return found

    def item_inputs(self, code: str) -> dict[str, float]:
        return {name: value - self.greatest.get(name, 0.0) for name, value in self.raw(code).items()}

    def vector(self, code: str) -> np.ndarray:
        text = self.statistics.text
        found: np.ndarray = text.encode([self.texts.get(code)])[0].astype(np.float64)
        return found


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


class PlainCustomer:
    """A customer's purchases, net of returns, and every input that follows from them."""

    def __init__(self, history: CustomerHistory, shop: PlainShop, bounds: Bounds) -> None:
        self.shop = shop
        self.bounds = bounds
        self.baskets = []
        by_date = {invoice.date: invoice for invoice in history.invoices}
        self.returned = {line.stock_code for each in history.invoices for line in each.lines if line.quantity < 0}
        for net in baskets(history):
            lines = [line for line in by_date[net.date].lines if line.quantity > 0]
            prices = {line.stock_code: line.unit_price for line in lines}
            order = dict.fromkeys(line.stock_code for line in lines)
            kept = [code for code in order if code not in self.returned]
            kept += sorted(self.returned.intersection(net.items))
            self.baskets.append(Basket(net.date, {code: (net.items[code] / THOUSAND, prices[code]) for code in kept}))
        self.n = len(self.baskets)
        self.rows = sorted({code for basket in self.baskets for code in basket.items})

    def ago(self, number: int) -> int:
        return self.n - 1 - number

    def numbers(self, code: str) -> list[int]:
        return [number for number, basket in enumerate(self.baskets) if code in basket.items]

    def decayed(self, code: str, decay: float) -> float:
        return sum(decay ** self.ago(number) for number in self.numbers(code))

    @cached_property
    def gap_days(self) -> float:
        return (self.baskets[-1].date - self.baskets[0].date) / DAY / (self.n - 1) if self.n > 1 else 45.0

    @cached_property
    def mean_log_units(self) -> float:
        return float(np.mean([math.log1p(units) for basket in self.baskets for units, _ in basket.items.values()]))

    @cached_property
    def mean_log_price(self) -> float:
        return float(np.mean([math.log(price) for basket in self.baskets for _, price in basket.items.values()]))

    def repeats(self, number: int) -> int:
        earlier = {code for basket in self.baskets[:number] for code in basket.items}
        return sum(code in earlier for code in self.baskets[number].items)

    @cached_property
    def customer_inputs(self) -> dict[str, float]:
        sizes = [len(basket.items) for basket in self.baskets]
        days = (self.shop.now - self.baskets[-1].date) / DAY
        return {
            "log_baskets": math.log1p(self.n),
            "log_mean_size": math.log1p(sum(sizes) / self.n),
            "log_last_size": math.log1p(sizes[-1]),
            "log_mean_size_of_three": math.log1p(sum(sizes[-3:]) / len(sizes[-3:])),
            "log_mean_gap": math.log1p(self.gap_days),
            "log_days_since_last": math.log1p(days),
            "days_since_last_over_gap": math.log((days + 1) / (self.gap_days + 1)),
            "same_day": float(days < 1),
            "log_days_since_first": math.log1p((self.shop.now - self.baskets[0].date) / DAY),
            "log_items": math.log1p(len(self.rows)),
            "repeat_share": 1 - len(self.rows) / sum(sizes),
            "repeat_share_of_last": self.repeats(self.n - 1) / sizes[-1],
            "log_quantity": self.mean_log_units,
            "log_price": self.mean_log_price,
            "log_returned_items": math.log1p(len(self.returned)),
        }

    def basket_inputs(self, number: int) -> dict[str, float]:
        basket = self.baskets[number]
        gap = (basket.date - self.baskets[number - 1].date) / DAY if number else 0.0
        return {
            "log_days_ago": math.log1p((self.shop.now - basket.date) / DAY),
            "log_size": math.log1p(len(basket.items)),
            "log_gap_before": math.log1p(gap),
            "log_units": math.log1p(sum(units for units, _ in basket.items.values())),
            "repeat_share": self.repeats(number) / len(basket.items),
        }

    def purchase_inputs(self, code: str) -> dict[str, float]:
        """The inputs of a candidate from its purchases."""
        returned = float(code in self.returned)
        numbers = self.numbers(code)
        if not numbers:
            return {"returned": returned}
        entries = [self.baskets[number].items[code] for number in numbers]
        days = [(self.shop.now - self.baskets[number].date) / DAY for number in numbers]
        count = len(numbers)
        gap = (days[0] - days[-1]) / (count - 1) if count > 1 else self.gap_days
        log_units = [math.log1p(units) for units, _ in entries]
        price = self.shop.raw(code)["log_price"]
        return {
            "bought_before": 1.0,
            "log_count": math.log1p(count),
            "count_per_basket": count / self.n,
            "count_per_basket_since_first": count / (self.n - numbers[0]),
            "log_baskets_since_last": math.log1p(self.ago(numbers[-1])),
            "log_days_since_last": math.log1p(days[-1]),
            "decayed_count": self.decayed(code, 0.85),
            "time_decayed_count": sum(0.5 ** (each / 45) for each in days),
            "days_since_last_over_gap": math.log((days[-1] + 1) / (gap + 1)),
            "bought_more_than_once": float(count > 1),
            "mean_quantity_over_customer_mean": sum(log_units) / count - self.mean_log_units,
            "last_quantity_over_customer_mean": log_units[-1] - self.mean_log_units,
            "price_now_over_last": price - math.log(entries[-1][1]),
            "count_over_max": count / max(len(self.numbers(each)) for each in self.rows),
            "decayed_count_over_max": self.decayed(code, 0.85) / max(self.decayed(each, 0.85) for each in self.rows),
            "returned": returned,
        }

    @cached_property
    def sources(self) -> list[tuple[int, str]]:
        """Basket and stock code of the entries that item-to-item scores start from: the newest of the vocabulary."""
        entries = [(number, code) for number, basket in enumerate(self.baskets) for code in basket.items]
        if len(entries) > self.bounds.sources:
            entries = [(number, code) for number, code in entries if code in self.shop.index][-self.bounds.sources :]
        return entries

    def i2i(self, variant: str, amounts: dict[str, float], code: str) -> float:
        target = self.shop.index.get(code)
        weights = self.shop.weights[variant]
        if target is None:
            return 0.0
        return sum(amount * weights[source].get(target, 0.0) for source, amount in amounts.items() if source in weights)

    def basket_i2i(self, variant: str, number: int, code: str) -> float:
        share = 1 / math.sqrt(len(self.baskets[number].items))
        return self.i2i(variant, {each: share for at, each in self.sources if at == number}, code)

    def i2i_inputs(self, code: str) -> dict[str, float]:
        decayed: dict[str, float] = {}
        for number, each in self.sources:
            if each in self.shop.index:
                decayed[each] = decayed.get(each, 0.0) + 0.95 ** self.ago(number)
        norm = math.sqrt(sum(amount**2 for amount in decayed.values()))
        whole = {each: amount / norm for each, amount in decayed.items()}
        return {
            "i2i_score_baskets": self.i2i(BASKETS, whole, code),
            "i2i_score_recent": self.i2i(RECENT, whole, code),
            "i2i_score_customers": self.i2i(CUSTOMERS, dict.fromkeys(decayed, 1 / math.sqrt(len(decayed))), code),
            "last_basket_i2i_score_baskets": self.basket_i2i(BASKETS, self.n - 1, code),
            "last_basket_i2i_score_recent": self.basket_i2i(RECENT, self.n - 1, code),
        }

    @cached_property
    def vectors(self) -> dict[str, np.ndarray]:
        return {code: self.shop.vector(code) for code in self.rows}

    @cached_property
    def history_vector(self) -> np.ndarray:
        return unit(np.sum([self.decayed(code, 0.85) * self.vectors[code] for code in self.rows], axis=0))

    def basket_vector(self, number: int) -> np.ndarray:
        return unit(np.sum([self.vectors[code] for code in self.baskets[number].items], axis=0))

    def text_inputs(self, code: str, order: dict[str, int]) -> dict[str, float]:
        """``order``: of the items, by which those bought last in the same basket are ordered."""
        vector = self.shop.vector(code)
        newest = sorted(self.rows, key=lambda each: (self.ago(self.numbers(each)[-1]), order[each]))
        near = newest[: self.bounds.near]
        nearest = max(0.0 if each == code else float(self.vectors[each] @ vector) for each in near)
        return {
            "text_similarity_history": float(self.history_vector @ vector),
            "text_similarity_last_basket": float(self.basket_vector(self.n - 1) @ vector),
            "text_similarity_nearest": nearest,
        }

    def statistic_inputs(self, code: str) -> dict[str, float]:
        statistics = self.shop.statistics
        rebuy, recent, *others = statistics.item_statistics[self.shop.index.get(code, len(self.shop.index))].tolist()
        mine = [self.customer_inputs[name] for name in ("log_mean_size", "log_quantity", "log_baskets")]
        over = [other - each for other, each in zip(others, mine, strict=True)]
        return dict(zip(ITEM_STATISTIC_INPUTS, (rebuy, recent, *over, *map(abs, over)), strict=True))

    def baseline_inputs(self, code: str) -> dict[str, float]:
        demand = math.log1p(self.shop.demand(code, 7.0)) / math.log1p(self.shop.greatest_week)
        numbers = self.numbers(code)
        slow = self.decayed(code, 0.95) / max(self.decayed(each, 0.95) for each in self.rows)
        i2i = self.i2i_inputs(code)["i2i_score_baskets"]
        scores = (
            len(numbers) * (0.001 + demand) + 0.001 * demand,
            ((slow if numbers else 0.0) + i2i) * (0.001 + demand),
        )
        return {name: math.log(max(score, 1e-6)) for name, score in zip(BASELINE_INPUTS, scores, strict=True)}

    def step_inputs(self, number: int, code: str) -> dict[str, float]:
        weeks = self.shop.statistics.weeks
        basket = self.baskets[number]
        week = min(max(basket.date // (7 * DAY) - weeks.first, 0), len(weeks.demand) - 1)
        units, price = basket.items.get(code, (0.0, 0.0))
        return {
            "in_basket": float(code in basket.items),
            "i2i_score_basket": self.basket_i2i(BASKETS, number, code),
            "log_quantity_over_customer_mean": math.log1p(units) - self.mean_log_units if units else 0.0,
            "log_price_now_over_basket": self.shop.raw(code)["log_price"] - math.log(price) if units else 0.0,
            "text_similarity_basket": float(self.basket_vector(number) @ self.shop.vector(code)),
            "demand_in_week_of_basket": float(weeks.demand[week, self.shop.index.get(code, len(self.shop.index))]),
        }

    def retrieval_score(self, code: str, order: dict[str, int], weights: dict[str, float]) -> float:
        scores = self.i2i_inputs(code)
        inputs = {name: math.copysign(math.sqrt(abs(score)), score) for name, score in scores.items()}
        inputs["no_i2i_score"] = float(not any(scores.values()))
        inputs["text_similarity_history"] = self.text_inputs(code, order)["text_similarity_history"]
        inputs |= self.shop.item_inputs(code)
        return sum(weight * inputs[name] for name, weight in weights.items())
