"""TIFU-KNN and UP-CF as they answer in the stream: a customer's own baskets and those of similar ones. Numpy only.

Each basket of a customer has a weight, and the customer's vector u holds for every item the weights of the baskets that
hold it. To it come the vectors v of similar customers, as they stood when the model was fitted:

    tifu_knn   α u + (1 − α) mean of the k vectors v nearest to u (Euclid)
               Hu, He, Gao and Zhang, "Modeling Personalized Item Frequency Information for Next-basket
               Recommendation", SIGIR 2020
    up_cf      u + Σ s(u, v)^q v, s the asymmetric cosine of the items ever bought, over the n most similar
               Faggioli, Polato and Aiolli, "Recency Aware Collaborative Filtering for Next Basket Recommendation",
               UMAP 2020
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.registry import read_vocabulary
from training.serving.baselines.formulas import CustomerPurchases, Floats, customer_purchases
from training.serving.baselines.vocabulary import Ints, StockCodeVocabulary
from training.serving.bundle_files import read_arrays

MAX_CUSTOMERS = 20_000
MAX_ENTRIES = 4_000_000
"""Those who bought last are kept, up to either bound: at 16 bytes an entry, 64 MB at most."""

ARRAYS = "neighbours.npz"


class TifuKnn(msgspec.Struct, frozen=True, tag_field="method", tag="tifu_knn"):
    """Settings of TIFU-KNN.

    Attributes:
        neighbours: How many customers are near (k).
        groups: Into how many groups of baskets a history is divided (m).
        within_decay: What a basket counts against the one after it (r_b).
        group_decay: What a group of baskets counts against the one after it (r_g).
        own_share: What the customer's own vector counts, the others' mean counting the rest (α).
    """

    neighbours: int = 300
    groups: int = 7
    within_decay: float = 0.9
    group_decay: float = 0.7
    own_share: float = 0.7

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.groups < 1:
            raise ValueError("TIFU-KNN needs at least one neighbour and one group.")
        if not (0.0 < self.within_decay <= 1.0 and 0.0 < self.group_decay <= 1.0 and 0.0 <= self.own_share <= 1.0):
            raise ValueError("TIFU-KNN needs decays above 0 and at most 1, and an own share between 0 and 1.")

    def weights(self, n_baskets: int) -> Floats:
        """What each of so many baskets counts, oldest first, ``[baskets]``: groups of equal size, the oldest fewer."""
        size = max(1, -(-n_baskets // self.groups))
        ago = np.arange(n_baskets)[::-1]
        group = ago // size
        members = np.bincount(group)[group]
        weights: Floats = self.group_decay**group * self.within_decay ** (ago % size) / members
        return weights / max(1, -(-n_baskets // size))

    def nearest(self, crowd: "CustomerNeighbourhood", own: "CustomerVector") -> tuple[Ints, Floats]:
        """The nearest customers, and what each counts."""
        distances = crowd.squares - 2.0 * crowd.products(own.places, own.values)
        distances[crowd.named(own.customer_id)] = np.inf
        chosen = _least(distances, self.neighbours)
        return chosen, np.full(len(chosen), (1.0 - self.own_share) / max(len(chosen), 1))


class UpCf(msgspec.Struct, frozen=True, tag_field="method", tag="up_cf"):
    """Settings of UP-CF@r.

    Attributes:
        newest: How many of the newest baskets count (r).
        asymmetry: 0.5 is the cosine; above it, what the customer bought weighs more than what the other bought (α).
        locality: Power of the similarity (q).
        neighbours: How many customers are similar; those left out are too far to count at a locality above 1.
    """

    newest: int = 10
    asymmetry: float = 0.75
    locality: float = 5.0
    neighbours: int = 1_000

    own_share = 1.0

    def __post_init__(self) -> None:
        if self.newest < 1 or self.neighbours < 1 or not 0.0 <= self.asymmetry <= 1.0 or not self.locality > 0.0:
            raise ValueError(
                "UP-CF needs at least one basket and one neighbour, an asymmetry between 0 and 1, a locality above 0."
            )

    def weights(self, n_baskets: int) -> Floats:
        """What each of so many baskets counts, oldest first, ``[baskets]``."""
        weights = np.zeros(n_baskets)
        weights[-self.newest :] = 1.0 / max(1, min(n_baskets, self.newest))
        return weights

    def nearest(self, crowd: "CustomerNeighbourhood", own: "CustomerVector") -> tuple[Ints, Floats]:
        """The most similar customers who share an item, and what each counts."""
        shared = crowd.shared(own.places)
        shared[crowd.named(own.customer_id)] = 0.0
        near = np.flatnonzero(shared)
        ever = own.size**self.asymmetry * crowd.sizes[near] ** (1.0 - self.asymmetry)
        similarity = shared[near] / ever
        chosen = _least(-similarity, self.neighbours)
        return near[chosen], similarity[chosen] ** self.locality


Method = TifuKnn | UpCf
METHODS: dict[str, type[TifuKnn] | type[UpCf]] = {"tifu_knn": TifuKnn, "up_cf": UpCf}
"""The models of neighbours by name."""


class CustomerVector(NamedTuple):
    """A customer's own vector: ``rows`` of the item table ever bought and, of those in the vocabulary, the rest.

    ``rows``, ``weights`` ``[items]`` · ``placed``, ``places``, ``values`` ``[items in the vocabulary]`` · ``size``:
    number of items.
    """

    customer_id: str
    rows: Ints
    weights: Floats
    placed: Ints
    places: Ints
    values: Floats

    @property
    def size(self) -> int:
        """Number of items ever bought."""
        return len(self.rows)


class CachedVector(NamedTuple):
    """A customer's vector, and the history that it was computed from."""

    history: CustomerHistory
    own: CustomerVector


VectorCache = dict[str, CachedVector]
"""Vectors by customer id."""


class CustomerNeighbourhood:
    """The vectors of all customers when the model was fitted, compressed by customer and by item.

    Customer ``n`` has ``places[starts[n] : starts[n + 1]]``, one entry an item ever bought, with ``values`` 0 where
    only baskets hold it that count no more. Customers are known by a hash of their id (``customer_key``), and only so
    that nobody is a neighbour of themselves.
    """

    def __init__(
        self,
        method: Method,
        codes: Sequence[str],
        keys: NDArray[np.uint64],
        starts: Ints,
        places: NDArray[np.int32],
        values: NDArray[np.float32],
    ) -> None:
        """Take vectors over: ``keys`` ``[customers]``, ``starts`` ``[customers + 1]``, the others ``[entries]``.

        Raises:
            ValueError: They do not fit together, or hold no finite numbers.
        """
        fits = len(starts) == len(keys) + 1 and len(places) == len(values) == starts[-1] and starts[0] == 0
        if not fits or (np.diff(starts) < 0).any() or not np.isfinite(values).all():
            raise ValueError(f"The vectors of {len(keys)} customers do not fit together.")
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(codes):
            raise ValueError(f"The vectors of the customers do not go with {len(codes)} stock codes.")
        self.method = method
        self._vocabulary = StockCodeVocabulary(codes)
        self._keys, self._starts, self._places, self._values = keys, starts, places, values
        self._bind()

    def _bind(self) -> None:
        """The same entries by item, and what distances need of each customer."""
        n = len(self._keys)
        customer = np.repeat(np.arange(n, dtype=np.int32), np.diff(self._starts))
        order = np.argsort(self._places, kind="stable")
        counts = np.bincount(self._places, minlength=len(self._vocabulary))
        self._item_starts = np.concatenate([[0], np.cumsum(counts)])
        self._item_customers, self._item_values = customer[order], self._values[order]
        self.sizes: Ints = np.diff(self._starts)
        squares = np.bincount(customer, weights=self._values.astype(np.float64) ** 2, minlength=n)
        self.squares: Floats = squares.astype(np.float64)  # bincount counts in whole numbers where there is nothing

    @classmethod
    def fit(
        cls,
        method: Method,
        histories: Iterable[CustomerHistory],
        items: ItemTable,
        computed: "VectorCache | None" = None,
    ) -> Self:
        """The vectors of customers as their histories stand, of those who bought last first.

        ``computed`` are those of an earlier fit of the same method to the same, shorter log; they are used where a
        history is still the same, and brought up to date.
        """
        ordered = sorted(
            histories, key=lambda each: (-max((i.date for i in each.invoices), default=0), each.customer_id)
        )
        keys: list[int] = []
        rows: list[Ints] = []
        values: list[Floats] = []
        entries = 0
        for history in ordered:
            before = None if computed is None else computed.get(history.customer_id)
            if before is not None and before.history is history:
                own = before.own
            else:
                own = _own(method, customer_purchases(history, items), items, None)
            if computed is not None:
                computed[history.customer_id] = CachedVector(history, own)
            entries += own.size
            if len(keys) == MAX_CUSTOMERS or entries > MAX_ENTRIES:
                break
            if own.size:
                keys.append(customer_key(history.customer_id))
                rows.append(own.rows)
                values.append(own.weights)
        return cls(
            method,
            items.codes,
            np.asarray(keys, np.uint64),
            np.cumsum([0, *map(len, rows)]),
            np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int32),
            np.concatenate([*values, np.zeros(0)]).astype(np.float32),
        )

    @property
    def codes(self) -> list[str]:
        """The stock codes that it knows."""
        return self._vocabulary.codes

    def named(self, customer_id: str) -> NDArray[np.bool_]:
        """Which of the customers has an id, ``[customers]``."""
        named: NDArray[np.bool_] = self._keys == np.uint64(customer_key(customer_id))
        return named

    def products(self, places: Ints, values: Floats) -> Floats:
        """Each customer's vector times a sparse one, ``[customers]``."""
        entries, which = _slices(self._item_starts, places)
        weights = self._item_values[entries] * values[which]
        return np.bincount(self._item_customers[entries], weights=weights, minlength=len(self._keys)).astype(np.float64)

    def shared(self, places: Ints) -> Floats:
        """How many of some items each customer ever bought, ``[customers]``."""
        entries, _ = _slices(self._item_starts, places)
        return np.bincount(self._item_customers[entries], minlength=len(self._keys)).astype(np.float64)

    def scores(self, bought: CustomerPurchases, items: ItemTable) -> Floats:
        """The model's score of every row, ``[rows]``; zeros without baskets."""
        own = _own(self.method, bought, items, self._vocabulary)
        scores = np.zeros(len(bought.times))
        if own.size == 0:
            return scores
        scores[own.rows] = self.method.own_share * own.weights
        chosen, weights = self.method.nearest(self, own)
        entries, which = _slices(self._starts, chosen)
        said = np.bincount(
            self._places[entries], weights=self._values[entries] * weights[which], minlength=len(self._vocabulary)
        )
        places = self._vocabulary.places(items)
        inside = np.flatnonzero(places >= 0)
        scores[inside] += said[places[inside]]
        return scores

    def because(self, rows: Ints, bought: CustomerPurchases, items: ItemTable) -> Ints:
        """The row of the customer's item that most ties those together who have each of some rows, else -1, ``[n]``.

        For a row j new to the customer it is the item i with the greatest u_i Σ w(v) v_i v_j over the similar
        customers v; one bought before speaks for itself, and so has none.
        """
        best = np.full(len(rows), -1, np.int64)
        inside = np.flatnonzero((rows < len(items)) & (bought.times[rows] == 0.0))
        if len(inside) == 0:
            return best
        own = _own(self.method, bought, items, self._vocabulary)
        asked = self._vocabulary.places(items)[rows[inside]]
        inside, asked = inside[asked >= 0], asked[asked >= 0]
        if len(own.places) == 0 or len(inside) == 0:
            return best
        chosen, weights = self.method.nearest(self, own)
        speaks = own.values[:, None] * (
            self._columns(chosen, own.places).T @ (weights[:, None] * self._columns(chosen, asked))
        )
        best[inside] = np.where(speaks.max(axis=0) > 0.0, own.placed[speaks.argmax(axis=0)], -1)
        return best

    def _columns(self, customers: Ints, places: Ints) -> Floats:
        """Some customers' values of some items, dense ``[customers, places]``."""
        column = np.full(len(self._vocabulary), -1, np.int64)
        column[places] = np.arange(len(places))
        entries, which = _slices(self._starts, customers)
        at = column[self._places[entries]]
        dense = np.zeros((len(customers), len(places)))
        dense[which[at >= 0], at[at >= 0]] = self._values[entries[at >= 0]]
        return dense

    def save(self, folder: Path) -> None:
        """Write settings and vectors; the codes are in the bundle's vocabulary."""
        np.savez_compressed(
            folder / ARRAYS,
            method=np.frombuffer(msgspec.json.encode(self.method), np.uint8),
            keys=self._keys,
            starts=self._starts,
            places=self._places,
            values=self._values,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile, BundleRefused: It is missing or damaged.
        """
        arrays = read_arrays(folder / ARRAYS)
        return cls(
            msgspec.json.decode(arrays["method"].tobytes(), type=Method),
            read_vocabulary(folder),
            arrays["keys"].astype(np.uint64, copy=False),
            arrays["starts"].astype(np.int64, copy=False),
            arrays["places"].astype(np.int32, copy=False),
            arrays["values"].astype(np.float32, copy=False),
        )


def customer_key(customer_id: str) -> int:
    """The first 8 bytes of a hash of a customer's id: a bundle holds no ids."""
    return int.from_bytes(hashlib.blake2b(customer_id.encode(), digest_size=8).digest(), "little")


def _own(
    method: Method, bought: CustomerPurchases, items: ItemTable, vocabulary: StockCodeVocabulary | None
) -> CustomerVector:
    """A customer's own vector; without a vocabulary its places are left out."""
    vector = np.zeros(len(bought.times))
    for basket, weight in zip(bought.baskets, method.weights(len(bought.baskets)), strict=True):
        vector[basket] += weight
    rows = np.flatnonzero(bought.times)
    placed = rows[:0]
    places = rows[:0]
    if vocabulary is not None:
        placed = rows[rows < len(items)]
        places = vocabulary.places(items)[placed]
        placed, places = placed[places >= 0], places[places >= 0]
    return CustomerVector(bought.customer_id, rows, vector[rows], placed, places, vector[placed])


def _slices(starts: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """Positions of all entries of some slices, and which slice of those chosen each is of."""
    sizes = starts[chosen + 1] - starts[chosen]
    which = np.repeat(np.arange(len(chosen)), sizes)
    begins = np.cumsum(sizes) - sizes
    return np.arange(len(which)) - begins[which] + starts[chosen][which], which


def _least(values: Floats, count: int) -> Ints:
    """Positions of the ``count`` least finite values; of equal ones the first, which bought last."""
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) <= count:
        return finite
    edge = np.partition(values[finite], count - 1)[count - 1]
    below = np.flatnonzero(values < edge)
    return np.concatenate([below, np.flatnonzero(values == edge)[: count - len(below)]])
