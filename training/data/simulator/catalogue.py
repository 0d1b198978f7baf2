"""Catalogue: what the made-up shop sells, and how much each item is wanted on a day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.simulator.profiles import DescriptionWords, ShopProfile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_CODE = 20_001


@dataclass(frozen=True)
class Catalogue:
    """Items in the order of their categories; every column has one value an item.

    ``bounds`` ``[categories + 1]`` are where each category begins. ``family`` numbers the variants of one design, which
    share the first five digits of their stock codes; ``siblings`` ``[families + 1]`` are where each family begins.
    ``cycle`` is the number of days after which an item is used up, 0 where it never is.
    ``launch`` is the day an item is first sold, ``fashion`` ``[weeks, items]`` the log of a drifting factor.
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
        """How much each item is wanted on a day, above 0; 0 before its launch."""
        apart = np.abs(day_of_year - self.peak)
        apart = np.minimum(apart, 365 - apart)
        season = 1 + self.season * np.exp(-((apart / 28) ** 2))
        age = day - self.launch
        novelty = 1 + self.novelty * np.exp(-np.maximum(age, 0) / 25) * (self.launch > 0)
        week = min(max(day, 0) // 7, len(self.fashion) - 1)
        wanted: Floats = self.popularity * season * novelty * np.exp(self.fashion[week]) * (age >= 0)
        return wanted


def make_catalogue(profile: ShopProfile, random: np.random.Generator) -> Catalogue:
    """Make up what a kind of shop sells."""
    items, days = profile.items, profile.days
    categories = len(profile.words.categories)
    category = np.sort(random.integers(0, categories, items))
    bounds = np.searchsorted(category, np.arange(categories + 1))
    begins = (random.random(items) < 0.6) | (np.diff(category, prepend=-1) > 0)
    family = np.cumsum(begins) - 1
    siblings = np.append(np.flatnonzero(begins), items)
    place = np.arange(items) - siblings[family]
    code, description = _texts(category, family, place, np.diff(siblings)[family] > 1, profile.words, random)
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
    place: Ints,
    varied: NDArray[np.bool_],
    words: DescriptionWords,
    random: np.random.Generator,
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Stock codes and descriptions: variants of a design differ in a letter and the first word."""
    families = int(family[-1]) + 1
    word = random.integers(0, 1 << 30, (families, 4))
    codes, descriptions = [], []
    for row in range(len(category)):
        which = int(family[row])
        nouns = words.categories[category[row]]
        variant = words.variants[(int(word[which, 0]) + int(place[row])) % len(words.variants)]
        design = words.designs[word[which, 1] % len(words.designs)]
        material = words.materials[word[which, 2] % len(words.materials)]
        descriptions.append(f"{variant} {design} {material} {nouns[word[which, 3] % len(nouns)]}")
        codes.append(f"{_FIRST_CODE + which}{chr(65 + int(place[row]) % 26) if varied[row] else ''}")
    return np.array(codes, dtype=object), np.array(descriptions, dtype=object)
