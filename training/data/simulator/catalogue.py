"""Catalogue: the items of the simulated shop, and the demand of each on a day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.simulator.profiles import DescriptionWords, ShopProfile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_CODE = 20_001


@dataclass(frozen=True)
class Catalogue:
    """Items sorted by category; arrays have one value an item unless noted.

    Attributes:
        stock_code: The variants of one design share the first five digits.
        description: Words of the profile.
        price: In the currency of the shop.
        popularity: Demand without season, novelty and fashion.
        launch: First day of sale; -1 before the first day.
        family: Number of the design, which its variants share.
        bounds: First item of each category, ``[categories + 1]``.
        siblings: First item of each family, ``[families + 1]``.
        season: How much demand rises at the peak, as a share.
        peak: Day of the year of the peak.
        fashion: Logarithm of a drifting factor of demand, ``[weeks, items]``.
        novelty: How much demand rises at the launch, as a share.
        cycle: Days until an item is used up, 0 where it never is.
    """

    stock_code: NDArray[np.object_]
    description: NDArray[np.object_]
    price: Floats
    popularity: Floats
    launch: Ints
    family: Ints
    bounds: Ints
    siblings: Ints
    season: Floats
    peak: Floats
    fashion: Floats
    novelty: float
    cycle: Floats

    def demand(self, day: int, day_of_year: int) -> Floats:
        """The demand of each item on a day: above 0, and 0 before its launch."""
        distance = np.abs(day_of_year - self.peak)
        distance = np.minimum(distance, 365 - distance)
        season = 1 + self.season * np.exp(-((distance / 28) ** 2))
        age = day - self.launch
        novelty = 1 + self.novelty * np.exp(-np.maximum(age, 0) / 25) * (self.launch > 0)
        week = min(max(day, 0) // 7, len(self.fashion) - 1)
        demand: Floats = self.popularity * season * novelty * np.exp(self.fashion[week]) * (age >= 0)
        return demand


def make_catalogue(profile: ShopProfile, random: np.random.Generator) -> Catalogue:
    """Draw the items of a shop."""
    items, days = profile.items, profile.days
    categories = len(profile.words.categories)
    category = np.sort(random.integers(0, categories, items))
    bounds = np.searchsorted(category, np.arange(categories + 1))
    first = (random.random(items) < 0.6) | (np.diff(category, prepend=-1) > 0)
    family = np.cumsum(first) - 1
    siblings = np.append(np.flatnonzero(first), items)
    variant = np.arange(items) - siblings[family]
    code, description = _texts(category, family, variant, np.diff(siblings)[family] > 1, profile.words, random)
    appeal = random.lognormal(0, 0.9, len(siblings) - 1)
    cost = random.lognormal(np.log(2.1), 0.8, len(siblings) - 1)
    peaked = np.isin(category, list(profile.peaks))
    weeks = days // 7 + 1
    steps = random.normal(0, 0.28, (weeks, items))
    fashion = np.zeros((weeks, items))
    for week in range(weeks):
        fashion[week] = 0.9 * (fashion[week - 1] if week else random.normal(0, 0.6, items)) + steps[week]
    launch = np.where(random.random(items) < 1 - profile.launched, -1, random.integers(1, max(days, 2), items))
    return Catalogue(
        stock_code=code,
        description=description,
        price=np.round(np.clip(cost[family], 0.19, 60), 2),
        popularity=appeal[family] * random.lognormal(0, 0.8, items),
        launch=launch,
        family=family,
        bounds=bounds,
        siblings=siblings,
        season=np.where(peaked, random.uniform(1.5, 9, items), 0.0),
        peak=np.array([profile.peaks.get(number, 0) for number in category.tolist()], dtype=np.float64),
        fashion=profile.fashion * fashion,
        novelty=profile.novelty,
        cycle=profile.cycle * random.lognormal(0, 0.7, items) if profile.cycle else np.zeros(items),
    )


def _texts(
    category: Ints,
    family: Ints,
    variant: Ints,
    varied: NDArray[np.bool_],
    words: DescriptionWords,
    random: np.random.Generator,
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Stock codes and descriptions: variants of a design differ in a letter and the first word."""
    families = int(family[-1]) + 1
    drawn = random.integers(0, 1 << 30, (families, 4))
    codes, descriptions = [], []
    for row in range(len(category)):
        design_of, number = int(family[row]), int(variant[row])
        nouns = words.categories[category[row]]
        first, second, third, fourth = drawn[design_of].tolist()
        variant_word = words.variants[(first + number) % len(words.variants)]
        design = words.designs[second % len(words.designs)]
        material = words.materials[third % len(words.materials)]
        descriptions.append(f"{variant_word} {design} {material} {nouns[fourth % len(nouns)]}")
        codes.append(f"{_FIRST_CODE + design_of}{chr(65 + number % 26) if varied[row] else ''}")
    return np.array(codes, dtype=object), np.array(descriptions, dtype=object)
