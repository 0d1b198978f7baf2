"""Customers: who visits on which day, and what their baskets hold; arrays have one row a customer."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.simulator.catalogue import Catalogue, Floats, Ints
from training.data.simulator.profiles import ShopProfile

ASSORTMENT_SIZE = 64
"""Number of items in a customer's assortment, which was bought before; the oldest is dropped first."""

_NONE = -1


class Basket(NamedTuple):
    """Lines of all baskets of a day, in the order of ``visitor``: customer rows, item rows, units, prices."""

    visitor: Ints
    item: Ints
    quantity: Ints
    price: Floats


class Customers:
    """The shop's customers; a drawn basket changes the assortment of its customer."""

    def __init__(self, profile: ShopProfile, catalogue: Catalogue, random: np.random.Generator) -> None:
        number, days = profile.customers, profile.days
        self._profile = profile
        self._catalogue = catalogue
        self._random = random
        early = random.random(number) < profile.early
        self.next_visit: Floats = np.where(early, random.exponential(35, number), random.uniform(0, days, number))
        self.country = random.choice(np.array(profile.countries, dtype=object), number, p=profile.country_shares)
        median, deviation, low, high = profile.gap
        self._mean_gap = np.clip(random.lognormal(np.log(median), deviation, number), low, high)
        self._gap_shape = random.uniform(*profile.gap_shape, number)
        self._second_visit = random.beta(*profile.second_visit, number)
        median, deviation, low, high = profile.size
        self._size = np.clip(random.lognormal(np.log(median), deviation, number), low, high)
        self._repeats = random.beta(*profile.repeats, number)
        self._units = profile.units * np.clip(random.lognormal(0, 0.8, number), 0.3, 20)
        categories = len(catalogue.bounds) - 1
        self._tastes = random.integers(0, categories, (number, 3))
        self._known = np.full((number, ASSORTMENT_SIZE), _NONE, dtype=np.int32)
        self._weight = np.zeros((number, ASSORTMENT_SIZE), dtype=np.float32)
        self._baskets = np.zeros(number, dtype=np.int64)
        self._last_bought = np.full((number, ASSORTMENT_SIZE), -np.inf, dtype=np.float32)

    def visitors(self, day: int, rush: float) -> Ints:
        """Customers who visit on a day, in random order; for each the next visit is drawn, or that there is none.

        ``rush`` above 1 shortens the gaps, as before Christmas.
        """
        due = np.flatnonzero(self.next_visit <= day)
        shape = self._gap_shape[due]
        gap = self._random.gamma(shape, self._mean_gap[due] / shape / rush)
        returns = self._random.random(len(due)) < np.where(
            self._baskets[due] == 0, self._second_visit[due], self._profile.next_visit
        )
        self.next_visit[due] = np.where(returns, day + np.maximum(gap, 0.5), np.inf)
        return self._random.permutation(due)

    def draw_baskets(self, day: int, visitors: Ints, demand: Floats) -> Basket:
        """Draw a basket for each visitor: items bought before, new ones, and complements of both."""
        size = np.clip(self._size[visitors] * self._random.lognormal(0, 0.45, len(visitors)), 1, 150).astype(np.int64)
        number = self._random.binomial(size, self._repeats[visitors])
        repeat_row, repeats = self._repurchased(day, visitors, number, demand)
        found = np.bincount(repeat_row, minlength=len(visitors))
        new_row = np.repeat(np.arange(len(visitors)), size - found)
        new = self._new_items(visitors[new_row], demand)
        row = np.concatenate([repeat_row, new_row])
        item = np.concatenate([repeats, new])
        complement_row, complements = self._complements(row, item, demand)
        row, item = _distinct(np.concatenate([row, complement_row]), np.concatenate([item, complements]), len(demand))
        self._update_assortment(day, visitors[row], item)
        quantity = self._quantities(visitors[row], item)
        return Basket(visitors[row], item, quantity, self._catalogue.price[item])

    def anonymous_baskets(self, number: int, demand: Floats) -> Basket:
        """Baskets of people without an account; ``visitor`` numbers them from 0."""
        size = np.clip(self._random.lognormal(np.log(18), 0.9, number), 1, 300).astype(np.int64)
        row = np.repeat(np.arange(number), size)
        row, item = _distinct(row, self._draw(demand, np.zeros(len(row)), np.full(len(row), demand.sum())), len(demand))
        price = np.round(self._catalogue.price[item] * 1.9, 2)
        return Basket(row, item, self._random.integers(1, 4, len(row)), price)

    def _repurchased(self, day: int, visitors: Ints, number: Ints, demand: Floats) -> tuple[Ints, Ints]:
        """``number`` items of each visitor's assortment without replacement, by their weight and the day's demand."""
        known = self._known[visitors]
        with np.errstate(divide="ignore"):
            key = np.log(self._weight[visitors]) + self._profile.trend * np.log(demand[known] + 1e-9)
            if self._profile.cycle:
                used = (day - self._last_bought[visitors]) / self._catalogue.cycle[known]
                key += 2.0 * np.log(np.clip(used, 0.05, 1.5))
        key = np.where(known == _NONE, -np.inf, key + self._random.gumbel(size=known.shape))
        order = np.argsort(-key, axis=1)
        take = np.arange(ASSORTMENT_SIZE) < np.minimum(number, (known != _NONE).sum(axis=1))[:, None]
        row, rank = np.nonzero(take)
        return row, known[row, order[row, rank]].astype(np.int64)

    def _new_items(self, customer: Ints, demand: Floats) -> Ints:
        """One item a line by the day's demand, mostly of a favourite category, else of the whole shop."""
        random, bounds = self._random, self._catalogue.bounds
        total = np.concatenate([[0.0], np.cumsum(demand)])
        taste = self._tastes[customer, random.choice(3, len(customer), p=(0.55, 0.3, 0.15))]
        low, high = total[bounds[taste]], total[bounds[taste + 1]]
        anywhere = (random.random(len(customer)) < 0.4) | (high <= low)
        return self._draw(demand, np.where(anywhere, 0.0, low), np.where(anywhere, total[-1], high))

    def _draw(self, demand: Floats, low: Floats, high: Floats) -> Ints:
        """One item a line in proportion to demand, between two bounds of its cumulative sum."""
        total = np.cumsum(demand)
        at = low + self._random.random(len(low)) * (high - low)
        return np.minimum(np.searchsorted(total, at, side="right"), int(np.flatnonzero(demand)[-1]))

    def _complements(self, row: Ints, item: Ints, demand: Floats) -> tuple[Ints, Ints]:
        """Variants of the same design and the design that goes with it, so that items are bought together."""
        family, begins = self._catalogue.family[item], self._catalogue.siblings
        chance = self._random.random(len(item))
        other = np.where(chance < self._profile.complements[0], family, (family * 7 + 3) % (len(begins) - 1))
        size = begins[other + 1] - begins[other]
        complements = begins[other] + (self._random.random(len(item)) * size).astype(np.int64)
        take = (chance < self._profile.complements[1]) & (demand[complements] > 0)
        return row[take], complements[take]

    def _update_assortment(self, day: int, customer: Ints, item: Ints) -> None:
        self._weight[np.unique(customer)] *= self._profile.decay
        line, slot = np.nonzero(self._known[customer] == item[:, None])
        np.add.at(self._weight, (customer[line], slot), 1.0)
        self._last_bought[customer[line], slot] = day
        new = np.ones(len(item), dtype=bool)
        new[line] = False
        who, what = customer[new], item[new]
        starts = np.flatnonzero(np.diff(who, prepend=-1))
        rank = np.arange(len(who)) - np.repeat(starts, np.diff(np.append(starts, len(who))))
        slot = (self._baskets[who] + rank) % ASSORTMENT_SIZE
        if self._profile.cycle:  # habits last: the item of least weight is dropped, not the oldest
            slot = np.argsort(self._weight[who], axis=1)[np.arange(len(who)), rank % ASSORTMENT_SIZE]
        self._known[who, slot] = what
        self._weight[who, slot] = 1.0
        self._last_bought[who, slot] = day
        np.add.at(self._baskets, who, 1)

    def _quantities(self, customer: Ints, item: Ints) -> Ints:
        """Usual pack sizes; larger ones of cheap items, and of customers who buy many units."""
        packs = np.array([1, 2, 3, 4, 6, 8, 10, 12, 24, 48])
        size = self._units[customer] * 9 / np.sqrt(self._catalogue.price[item])
        at = np.searchsorted(packs, size * self._random.lognormal(0, 0.6, len(item)))
        return packs[np.minimum(at, len(packs) - 1)]


def _distinct(row: Ints, item: Ints, items: int) -> tuple[Ints, Ints]:
    """Each item once a basket, sorted by basket and by the order of the catalogue."""
    pairs: NDArray[np.int64] = np.unique(row * items + item)
    return pairs // items, pairs % items
