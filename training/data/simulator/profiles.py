"""Kinds of shops that can be made up: what they sell, who comes how often, and what they buy again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

SATURDAY = 5


@dataclass(frozen=True)
class DescriptionWords:
    """Descriptions are one word of each of the first three and one of the nouns of a category."""

    variants: tuple[str, ...]
    designs: tuple[str, ...]
    materials: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ShopProfile:
    """How a shop and its customers are drawn; defaults are those of a gift shop like UCI Online Retail.

    Attributes:
        customers: People with an account.
        items: Size of the catalogue.
        days: How long the shop is open.
        start: First day.
        closed: Day of the week on which nobody is served, Monday 0; None where there is none.
        countries: Where customers live, the shop's own country first.
        shares: Of customers by country; they sum to 1.
        words: What items are called.
        peaks: Day of the year at which a category sells best, for those with a season.
        fashion: How far the demand of an item drifts; 1 is that of gifts, 0 is none.
        launched: Share of items that come while the shop is open.
        novelty: How much more a new item is wanted at first.
        rush: How much more often people come before Christmas.
        early: Share of customers who come in the first weeks; the others come at any time.
        gap: Median days between visits, the spread of its logarithm over customers, least and most.
        evenness: Least and most shape of the gamma distribution of gaps; higher is more regular.
        loyalty: Beta distribution of the chance that a customer comes a second time.
        stays: The chance to come once more after that.
        size: Median lines a basket, the spread of its logarithm over customers, least and most.
        repeats: Beta distribution of the share of a basket that was bought before.
        trend: How much what is wanted today changes what is bought again: the power of demand.
        fading: What a purchase still weighs a basket later.
        cycle: Median days after which an item is used up and bought again; 0: nothing is, and habits do not last.
        beside: The chance of a variant of the same design beside an item, and of that or what goes with it.
        units: Median of what customers take of an item, for gifts 1.
        passers: Baskets of people without an account, for each of those with one.
    """

    words: DescriptionWords
    peaks: Mapping[int, int]
    customers: int = 1_500
    items: int = 1_800
    days: int = 373
    start: datetime = field(default=datetime(2010, 12, 1))  # noqa: DTZ001 - the shop's own time, as in UCI's table
    closed: int | None = SATURDAY
    countries: tuple[str, ...] = (
        *("United Kingdom", "Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium", "Norway"),
    )
    shares: tuple[float, ...] = (0.9, 0.026, 0.024, 0.016, 0.01, 0.009, 0.008, 0.007)
    fashion: float = 1.0
    launched: float = 0.35
    novelty: float = 2.5
    rush: float = 0.9
    early: float = 0.4
    gap: tuple[float, float, float, float] = (48, 0.75, 6, 260)
    gap_shape: tuple[float, float] = (1.2, 4)
    loyalty: tuple[float, float] = (4, 1.7)
    return_chance: float = 0.96
    size: tuple[float, float, float, float] = (14, 0.75, 1, 90)
    repeats: tuple[float, float] = (3, 5)
    trend: float = 0.6
    decay: float = 0.9
    cycle: float = 0.0
    complements: tuple[float, float] = (0.14, 0.24)
    units: float = 1.0
    anonymous_share: float = 0.2


GIFTS = ShopProfile(
    words=DescriptionWords(
        variants=("RED", "BLUE", "IVORY", "GREEN", "PINK", "BLACK", "YELLOW", "GREY"),
        designs=(
            *("SPOTTY", "STRIPED", "FLORAL", "GINGHAM", "STARRY", "LEAFY", "PAISLEY", "CHEQUERED", "SWALLOW", "CIRCUS"),
            *("NAUTICAL", "WOODLAND", "STRAWBERRY", "ROBOT", "BALLOON", "POSTCARD"),
        ),
        materials=(
            *("WOODEN", "GLASS", "CERAMIC", "ENAMEL", "PAPER", "FELT", "WICKER", "TIN", "LINEN", "VELVET", "IRON"),
            "CORK",
        ),
        categories=(
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
        ),
    ),
    peaks={11: 330, 12: 160, 14: 185, 15: 335, 10: 120, 8: 325, 4: 320},
)
"""Gifts, mostly bought once, in fashion for some weeks; a shop of the shape of UCI Online Retail."""

SMALL = replace(
    GIFTS,
    customers=300,
    items=400,
    days=400,
    start=datetime(2016, 2, 1),  # noqa: DTZ001 - the shop's own time
    countries=("EIRE", "United Kingdom"),
    shares=(0.93, 0.07),
)
"""A gift shop with 300 customers."""

GROCERIES = ShopProfile(
    customers=500,
    items=1_200,
    days=364,
    start=datetime(2021, 9, 6),  # noqa: DTZ001 - the shop's own time
    closed=None,
    countries=("Portugal", "Spain"),
    shares=(0.97, 0.03),
    words=DescriptionWords(
        variants=("250G", "500G", "1KG", "SMALL", "LARGE", "TWIN PACK"),
        designs=(
            *("QUINTA VERDE", "CASA ALTA", "RIO CLARO", "SERRA", "MARE", "DO CAMPO", "AURORA", "LUSO", "ATLANTICO"),
            *("DOM PEDRO", "FLOR", "MONTE"),
        ),
        materials=("FRESH", "ORGANIC", "WHOLE", "LIGHT", "CLASSIC", "EXTRA", "FINE", "NATURAL"),
        categories=(
            ("MILK", "YOGURT", "BUTTER", "CREAM", "CHEESE"),
            ("BREAD", "ROLLS", "CRACKERS", "TOAST"),
            ("APPLES", "BANANAS", "ORANGES", "PEARS", "GRAPES"),
            ("TOMATOES", "POTATOES", "ONIONS", "CARROTS", "LETTUCE"),
            ("CHICKEN", "BEEF", "HAM", "SAUSAGES"),
            ("COD", "SARDINES", "TUNA", "PRAWNS"),
            ("PASTA", "RICE", "BEANS", "FLOUR", "OLIVE OIL"),
            ("COFFEE", "TEA", "JUICE", "WATER", "WINE"),
            ("BISCUITS", "CHOCOLATE", "ICE CREAM", "JAM"),
            ("SOAP", "DETERGENT", "NAPPIES", "KITCHEN ROLL"),
        ),
    ),
    peaks={8: 190},
    fashion=0.2,
    launched=0.08,
    novelty=1.0,
    rush=0.1,
    early=0.85,
    gap=(7.5, 0.25, 5, 15),
    gap_shape=(5, 14),
    loyalty=(14, 1),
    return_chance=0.998,
    size=(16, 0.4, 3, 60),
    repeats=(16, 4),
    trend=0.1,
    decay=0.97,
    cycle=14.0,
    complements=(0.02, 0.04),
    units=0.15,
    anonymous_share=0.3,
)
"""Groceries: weekly baskets of what was always bought and is used up; demand hardly moves."""

SHOP_PROFILES = {"gifts": GIFTS, "small": SMALL, "groceries": GROCERIES}
"""By the names of the command line."""
