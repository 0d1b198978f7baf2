"""Profiles of the shops that can be simulated: what they sell, how often customers visit, what they buy again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

SATURDAY = 5


@dataclass(frozen=True)
class DescriptionWords:
    """Words of descriptions: each has one of the first three and one of the nouns of a category."""

    variants: tuple[str, ...]
    designs: tuple[str, ...]
    materials: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ShopProfile:
    """Distributions of a shop and its customers; the defaults are those of a gift shop like UCI Online Retail.

    Attributes:
        words: Words of the descriptions.
        peaks: Day of the year with the highest demand, by category; categories without a season are left out.
        customers: Number of customers with an account.
        items: Number of items in the catalogue.
        days: Number of days.
        start: First day.
        closed: Day of the week without sales, Monday 0; None where every day has some.
        countries: Countries of the customers, the shop's country first.
        country_shares: Shares of the customers by country; they sum to 1.
        fashion: How far the demand of an item drifts; 1 for gifts, 0 for none.
        launched: Share of the items that are launched after the first day.
        novelty: By how much a launch raises the demand of an item, as a share.
        rush: By how much the months before Christmas raise the frequency of visits, as a share.
        early: Share of the customers whose first visit is in the first weeks; the others are spread over all days.
        gap: Median days between visits, deviation of their logarithm over customers, minimum and maximum.
        gap_shape: Minimum and maximum shape of the gamma distribution of gaps; a higher one is more regular.
        second_visit: Parameters of the beta distribution of the chance that a customer visits a second time.
        next_visit: Chance of one more visit after that.
        size: Median lines of a basket, deviation of their logarithm over customers, minimum and maximum.
        repeats: Parameters of the beta distribution of the share of a basket that was bought before.
        trend: Power of the day's demand in what is bought again.
        decay: Factor of the weight of a purchase with each later basket.
        cycle: Median days until an item is used up and bought again; 0: items are not used up, and habits do not last.
        complements: Chance that an item brings a variant of its design into the basket, and that it brings either that
            or the design that goes with it.
        units: Median units of an item on a line, relative to gifts.
        anonymous: Number of baskets without a customer, for each basket with one.
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
    country_shares: tuple[float, ...] = (0.9, 0.026, 0.024, 0.016, 0.01, 0.009, 0.008, 0.007)
    fashion: float = 1.0
    launched: float = 0.35
    novelty: float = 2.5
    rush: float = 0.9
    early: float = 0.4
    gap: tuple[float, float, float, float] = (48, 0.75, 6, 260)
    gap_shape: tuple[float, float] = (1.2, 4)
    second_visit: tuple[float, float] = (4, 1.7)
    next_visit: float = 0.96
    size: tuple[float, float, float, float] = (14, 0.75, 1, 90)
    repeats: tuple[float, float] = (3, 5)
    trend: float = 0.6
    decay: float = 0.9
    cycle: float = 0.0
    complements: tuple[float, float] = (0.14, 0.24)
    units: float = 1.0
    anonymous: float = 0.2


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
"""Gifts, mostly bought once, in fashion for some weeks; a shop in the shape of UCI Online Retail."""

SMALL = replace(
    GIFTS,
    customers=300,
    items=400,
    days=400,
    start=datetime(2016, 2, 1),  # noqa: DTZ001 - the shop's own time
    countries=("EIRE", "United Kingdom"),
    country_shares=(0.93, 0.07),
)
"""A gift shop with 300 customers."""

GROCERIES = ShopProfile(
    customers=500,
    items=1_200,
    days=364,
    start=datetime(2021, 9, 6),  # noqa: DTZ001 - the shop's own time
    closed=None,
    countries=("Portugal", "Spain"),
    country_shares=(0.97, 0.03),
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
    second_visit=(14, 1),
    next_visit=0.998,
    size=(16, 0.4, 3, 60),
    repeats=(16, 4),
    trend=0.1,
    decay=0.97,
    cycle=14.0,
    complements=(0.02, 0.04),
    units=0.15,
    anonymous=0.3,
)
"""Groceries: weekly baskets of items that are used up and bought again; demand hardly changes."""

SHOP_PROFILES = {"gifts": GIFTS, "small": SMALL, "groceries": GROCERIES}
"""Profiles by the names of the command line (``nextbasket simulate --kind``)."""
