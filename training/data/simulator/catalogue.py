"""Catalogue: what the made-up shop sells, and how much each item is wanted on a day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MATERIALS = (
    *("WOODEN", "GLASS", "CERAMIC", "ENAMEL", "PAPER", "FELT", "WICKER", "TIN", "LINEN", "VELVET", "IRON", "CORK"),
)
_COLOURS = (*("RED", "BLUE", "IVORY", "GREEN", "PINK", "BLACK", "YELLOW", "GREY"),)
_PATTERNS = (
    *("SPOTTY", "STRIPED", "FLORAL", "GINGHAM", "STARRY", "LEAFY", "PAISLEY", "CHEQUERED", "SWALLOW", "CIRCUS"),
    *("NAUTICAL", "WOODLAND", "STRAWBERRY", "ROBOT", "BALLOON", "POSTCARD"),
)
_CATEGORIES = (
    ("MUG", "TEAPOT", "SAUCER", "EGG CUP", "MILK JUG"),
    ("CAKE TIN", "CAKE STAND", "BAKING MOULD", "ROLLING PIN", "APRON"),
    ("LUNCH BOX", "WATER BOTTLE", "SNACK BOX", "PICNIC BAG"),
    ("TOTE BAG", "SHOPPER", "PURSE", "WASH BAG", "BACKPACK"),
    ("CANDLE", "CANDLE HOLDER", "LANTERN", "TEALIGHT SET", "NIGHT LIGHT"),
    ("PICTURE FRAME", "WALL CLOCK", "MIRROR", "DOOR SIGN", "NOTICE BOARD"),
    ("CUSHION COVER", "THROW", "TABLECLOTH", "TEA TOWEL", "DOORMAT"),
    ("NOTEBOOK", "PENCIL CASE", "GIFT WRAP", "GIFT TAGS", "GREETING CARD"),
    ("JIGSAW", "SKITTLES", "TOY DRUM", "DOLL HOUSE", "PAINT SET", "SPINNING TOP"),
    ("NECKLACE", "BRACELET", "HAIR CLIP", "BROOCH"),
    ("GARDEN LABEL", "PLANT POT", "WATERING CAN", "BIRD FEEDER", "SEED BOX"),
    ("DECORATION", "BAUBLE", "WREATH", "STOCKING", "ADVENT CALENDAR"),
    ("BUNTING", "PARTY HAT", "PAPER PLATES", "NAPKINS", "STRAWS"),
    ("STORAGE JAR", "BREAD BIN", "SPICE RACK", "CUTLERY TRAY"),
    ("PARASOL", "DECK CHAIR", "BEACH BALL", "FAN"),
    ("HOT WATER BOTTLE", "HAND WARMER", "SLIPPERS", "SCARF"),
)
_PEAK = {11: 330, 12: 160, 14: 185, 15: 335, 10: 120, 8: 325, 4: 320}
"""Day of the year at which a category sells best, for those with a season."""

_FIRST_CODE = 20_001


@dataclass(frozen=True)
class Catalogue:
    """Items in the order of their categories; every column has one value an item.

    ``bounds`` ``[categories + 1]`` are where each category begins. ``family`` numbers the variants of one design, which
    share the first five digits of their stock codes; ``siblings`` ``[families + 1]`` are where each family begins.
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

    def demand(self, day: int, day_of_year: int) -> Floats:
        """How much each item is wanted on a day, above 0; 0 before its launch."""
        apart = np.abs(day_of_year - self.peak)
        apart = np.minimum(apart, 365 - apart)
        season = 1 + self.season * np.exp(-((apart / 28) ** 2))
        age = day - self.launch
        novelty = 1 + 2.5 * np.exp(-np.maximum(age, 0) / 25) * (self.launch > 0)
        week = min(max(day, 0) // 7, len(self.fashion) - 1)
        wanted: Floats = self.popularity * season * novelty * np.exp(self.fashion[week]) * (age >= 0)
        return wanted


def make_catalogue(items: int, days: int, random: np.random.Generator) -> Catalogue:
    """Make up ``items`` items for a shop that is open ``days`` days."""
    category = np.sort(random.integers(0, len(_CATEGORIES), items))
    bounds = np.searchsorted(category, np.arange(len(_CATEGORIES) + 1))
    begins = (random.random(items) < 0.6) | (np.diff(category, prepend=-1) > 0)
    family = np.cumsum(begins) - 1
    siblings = np.append(np.flatnonzero(begins), items)
    place = np.arange(items) - siblings[family]
    code, description = _texts(category, family, place, np.diff(siblings)[family] > 1, random)
    appeal = random.lognormal(0, 0.9, len(siblings) - 1)
    cost = random.lognormal(np.log(2.1), 0.8, len(siblings) - 1)
    peaked = np.isin(category, list(_PEAK))
    weeks = days // 7 + 1
    steps = random.normal(0, 0.28, (weeks, items))
    fashion = np.zeros((weeks, items))
    for week in range(weeks):
        fashion[week] = 0.9 * (fashion[week - 1] if week else random.normal(0, 0.6, items)) + steps[week]
    launch = np.where(random.random(items) < 0.65, -1, random.integers(1, max(days, 2), items))
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
        peak=np.array([_PEAK.get(number, 0) for number in category.tolist()], dtype=np.float64),
        fashion=fashion,
    )


def _texts(
    category: Ints, family: Ints, place: Ints, varied: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Stock codes and descriptions: variants of a design differ in a letter and a colour."""
    families = int(family[-1]) + 1
    word = random.integers(0, 1 << 30, (families, 4))
    codes, descriptions = [], []
    for row in range(len(category)):
        which = int(family[row])
        nouns = _CATEGORIES[category[row]]
        colour = _COLOURS[(int(word[which, 0]) + int(place[row])) % len(_COLOURS)]
        design = f"{_PATTERNS[word[which, 1] % len(_PATTERNS)]} {_MATERIALS[word[which, 2] % len(_MATERIALS)]}"
        descriptions.append(f"{colour} {design} {nouns[word[which, 3] % len(nouns)]}")
        codes.append(f"{_FIRST_CODE + which}{chr(65 + int(place[row]) % 26) if varied[row] else ''}")
    return np.array(codes, dtype=object), np.array(descriptions, dtype=object)
