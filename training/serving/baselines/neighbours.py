"""TIFU-KNN and UP-CF as fitted models of the baselines: nearest neighbours among customers. NumPy only.

Each basket of a customer has a weight, and the customer's vector u is, for every item, the sum of the weights of the
baskets that hold it. It is combined with the vectors v of similar customers, as of the fit:

    tifu_knn   α u + (1 − α) mean of the k vectors v nearest to u (Euclid)
               Hu, He, Gao and Zhang, "Modeling Personalized Item Frequency Information for Next-basket
               Recommendation", SIGIR 2020
    up_cf      u + Σ s(u, v)^q v, s the asymmetric cosine of the items ever bought, over the n most similar
               Faggioli, Polato and Aiolli, "Recency Aware Collaborative Filtering for Next Basket Recommendation",
               UMAP 2020
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.registry import read_vocabulary
from training.serving.baselines.customer_keys import CustomerKeys, keys_of_bundle
from training.serving.baselines.formulas import CustomerPurchases, Floats, customer_purchases
from training.serving.baselines.vocabulary import Ints, StockCodeVocabulary
from training.serving.bundle_files import read_arrays

logger = logging.getLogger(__name__)

MAX_CUSTOMERS = 20_000
MAX_ENTRIES = 4_000_000
"""Customers who bought last are stored, up to either bound: at 16 bytes an entry, 64 MB at most."""

ARRAYS = "neighbours.npz"


class TifuKnn(msgspec.Struct, frozen=True, tag_field="method", tag="tifu_knn"):
    """Settings of TIFU-KNN.

    Attributes:
        neighbours: Number of nearest customers (k).
        groups: Number of groups that the baskets of a history are divided into (m).
        within_decay: Weight of a basket relative to the one after it in its group (r_b).
        group_decay: Weight of a group of baskets relative to the one after it (r_g).
        own_share: Weight of the customer's vector; the mean of the neighbours has the rest (α).
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
        """Weight of each of ``n_baskets``, oldest first, ``[baskets]``; only the oldest group may be smaller."""
        size = max(1, -(-n_baskets // self.groups))
        ago = np.arange(n_baskets)[::-1]
        group = ago // size
        members = np.bincount(group)[group]
        weights: Floats = self.group_decay**group * self.within_decay ** (ago % size) / members
        return weights / max(1, -(-n_baskets // size))

    def nearest(self, customers: "CustomerNeighbourhood", vector: "CustomerVector") -> tuple[Ints, Floats]:
        """The nearest customers, and the weight of each."""
        distances = customers.squares - 2.0 * customers.products(vector.indexes, vector.values)
        distances[customers.has_id(vector.customer_id)] = np.inf
        chosen = _smallest(distances, self.neighbours)
        return chosen, np.full(len(chosen), (1.0 - self.own_share) / max(len(chosen), 1))


class UpCf(msgspec.Struct, frozen=True, tag_field="method", tag="up_cf"):
    """Settings of UP-CF@r.

    Attributes:
        newest: Number of the newest baskets that count (r).
        asymmetry: 0.5 is the cosine; above it, the customer's items weigh more than the neighbour's (α).
        locality: Power of the similarity (q).
        neighbours: Number of similar customers; the others are too far to count at a locality above 1.
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
        """Weight of each of ``n_baskets``, oldest first, ``[baskets]``."""
        weights = np.zeros(n_baskets)
        weights[-self.newest :] = 1.0 / max(1, min(n_baskets, self.newest))
        return weights

    def nearest(self, customers: "CustomerNeighbourhood", vector: "CustomerVector") -> tuple[Ints, Floats]:
        """The most similar customers who share an item, and the weight of each."""
        shared = customers.shared(vector.indexes)
        shared[customers.has_id(vector.customer_id)] = 0.0
        near = np.flatnonzero(shared)
        norm = vector.size**self.asymmetry * customers.sizes[near] ** (1.0 - self.asymmetry)
        similarity = shared[near] / norm
        chosen = _smallest(-similarity, self.neighbours)
        return near[chosen], similarity[chosen] ** self.locality


Method = TifuKnn | UpCf
METHODS: dict[str, type[TifuKnn] | type[UpCf]] = {"tifu_knn": TifuKnn, "up_cf": UpCf}
"""The settings class of each model by name."""


class CustomerVector(NamedTuple):
    """A customer's vector, sparse.

    ``rows`` of the item table ever bought and their ``weights``, ``[items]`` · of the items in the vocabulary
    ``known_rows``, ``indexes`` in the vocabulary and ``values`` (weights), ``[items in the vocabulary]``.
    """

    customer_id: str
    rows: Ints
    weights: Floats
    known_rows: Ints
    indexes: Ints
    values: Floats

    @property
    def size(self) -> int:
        """Number of items ever bought."""
        return len(self.rows)


class CachedVector(NamedTuple):
    """A customer's vector, and the history that it was computed from."""

    history: CustomerHistory
    vector: CustomerVector


VectorCache = dict[str, CachedVector]
"""Vectors by customer id."""


class CustomerNeighbourhood:
    """The vectors of all customers as of the fit, in compressed rows by customer and by item.

    Customer ``n`` has the entries ``indexes[starts[n] : starts[n + 1]]``, one an item ever bought; ``values`` are 0
    where all baskets with the item have weight 0. Customers are stored under a keyed hash of their id
    (``CustomerKeys``), so that nobody is a neighbour of themselves, and nobody without the key learns whose they are.
    """

    def __init__(
        self,
        method: Method,
        codes: Sequence[str],
        keys: NDArray[np.uint64],
        starts: Ints,
        indexes: NDArray[np.int32],
        values: NDArray[np.float32],
        customer_keys: CustomerKeys | None = None,
    ) -> None:
        """``keys`` ``[customers]``, ``starts`` ``[customers + 1]``, the others ``[entries]``.

        Raises:
            ValueError: They do not fit together, or are not finite.
        """
        fits = len(starts) == len(keys) + 1 and len(indexes) == len(values) == starts[-1] and starts[0] == 0
        if not fits or (np.diff(starts) < 0).any() or not np.isfinite(values).all():
            raise ValueError(f"The vectors of {len(keys)} customers do not fit together.")
        if len(indexes) and not 0 <= int(indexes.min()) <= int(indexes.max()) < len(codes):
            raise ValueError(f"The vectors of the customers do not go with {len(codes)} stock codes.")
        self.method = method
        self._vocabulary = StockCodeVocabulary(codes)
        self._customer_keys = customer_keys or CustomerKeys.of_process()
        self._keys, self._starts, self._indexes, self._values = keys, starts, indexes, values
        self._group_by_item()

    def _group_by_item(self) -> None:
        """The same entries grouped by item, and the squared norm of each customer."""
        n = len(self._keys)
        customer = np.repeat(np.arange(n, dtype=np.int32), np.diff(self._starts))
        order = np.argsort(self._indexes, kind="stable")
        counts = np.bincount(self._indexes, minlength=len(self._vocabulary))
        self._item_starts = np.concatenate([[0], np.cumsum(counts)])
        self._item_customers, self._item_values = customer[order], self._values[order]
        self.sizes: Ints = np.diff(self._starts)
        squares = np.bincount(customer, weights=self._values.astype(np.float64) ** 2, minlength=n)
        self.squares: Floats = squares.astype(np.float64)  # bincount returns integers for an empty input

    @classmethod
    def fit(
        cls,
        method: Method,
        histories: Iterable[CustomerHistory],
        items: ItemTable,
        cache: "VectorCache | None" = None,
    ) -> Self:
        """Computes the vectors of customers, those who bought last first.

        ``cache`` has the vectors of an earlier fit of the same method; those of unchanged histories are reused, the
        others replaced.
        """
        ordered = sorted(
            histories, key=lambda each: (-max((i.date for i in each.invoices), default=0), each.customer_id)
        )
        customer_keys = CustomerKeys.of_process()
        keys: list[int] = []
        rows: list[Ints] = []
        values: list[Floats] = []
        entries = 0
        for history in ordered:
            cached = None if cache is None else cache.get(history.customer_id)
            if cached is not None and cached.history is history:
                vector = cached.vector
            else:
                vector = _customer_vector(method, customer_purchases(history, items), items, None)
            if cache is not None:
                cache[history.customer_id] = CachedVector(history, vector)
            entries += vector.size
            if len(keys) == MAX_CUSTOMERS or entries > MAX_ENTRIES:
                break
            if vector.size:
                keys.append(customer_keys.key(history.customer_id))
                rows.append(vector.rows)
                values.append(vector.weights)
        return cls(
            method,
            items.codes,
            np.asarray(keys, np.uint64),
            np.cumsum([0, *map(len, rows)]),
            np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int32),
            np.concatenate([*values, np.zeros(0)]).astype(np.float32),
            customer_keys,
        )

    @property
    def codes(self) -> list[str]:
        """The stock codes of the vocabulary."""
        return self._vocabulary.codes

    def has_id(self, customer_id: str) -> NDArray[np.bool_]:
        """Whether each customer has this id, ``[customers]``."""
        same: NDArray[np.bool_] = self._keys == np.uint64(self._customer_keys.key(customer_id))
        return same

    def products(self, indexes: Ints, values: Floats) -> Floats:
        """Dot product of each customer's vector with a sparse one, ``[customers]``."""
        entries, which = _slices(self._item_starts, indexes)
        weights = self._item_values[entries] * values[which]
        return np.bincount(self._item_customers[entries], weights=weights, minlength=len(self._keys)).astype(np.float64)

    def shared(self, indexes: Ints) -> Floats:
        """Number of the given items that each customer ever bought, ``[customers]``."""
        entries, _ = _slices(self._item_starts, indexes)
        return np.bincount(self._item_customers[entries], minlength=len(self._keys)).astype(np.float64)

    def scores(self, purchases: CustomerPurchases, items: ItemTable) -> Floats:
        """The model's score of every row, ``[rows]``; zeros without baskets."""
        vector = _customer_vector(self.method, purchases, items, self._vocabulary)
        scores = np.zeros(len(purchases.times))
        if vector.size == 0:
            return scores
        scores[vector.rows] = self.method.own_share * vector.weights
        chosen, weights = self.method.nearest(self, vector)
        entries, which = _slices(self._starts, chosen)
        of_neighbours = np.bincount(
            self._indexes[entries], weights=self._values[entries] * weights[which], minlength=len(self._vocabulary)
        )
        indexes = self._vocabulary.indexes(items)
        inside = np.flatnonzero(indexes >= 0)
        scores[inside] += of_neighbours[indexes[inside]]
        return scores

    def source_rows(self, rows: Ints, purchases: CustomerPurchases, items: ItemTable) -> Ints:
        """For each of some rows the row of the customer's item that explains it, −1 where none does, ``[n]``.

        For a row j new to the customer it is the item i with the greatest u_i Σ w(v) v_i v_j over the similar
        customers v; an item bought before needs no explanation.
        """
        best = np.full(len(rows), -1, np.int64)
        inside = np.flatnonzero((rows < len(items)) & (purchases.times[rows] == 0.0))
        if len(inside) == 0:
            return best
        vector = _customer_vector(self.method, purchases, items, self._vocabulary)
        targets = self._vocabulary.indexes(items)[rows[inside]]
        inside, targets = inside[targets >= 0], targets[targets >= 0]
        if len(vector.indexes) == 0 or len(inside) == 0:
            return best
        chosen, weights = self.method.nearest(self, vector)
        contributions = vector.values[:, None] * (
            self._columns(chosen, vector.indexes).T @ (weights[:, None] * self._columns(chosen, targets))
        )
        strongest = vector.known_rows[contributions.argmax(axis=0)]
        best[inside] = np.where(contributions.max(axis=0) > 0.0, strongest, -1)
        return best

    def _columns(self, customers: Ints, indexes: Ints) -> Floats:
        """Values of some customers and items, dense ``[customers, items]``."""
        column = np.full(len(self._vocabulary), -1, np.int64)
        column[indexes] = np.arange(len(indexes))
        entries, which = _slices(self._starts, customers)
        at = column[self._indexes[entries]]
        dense = np.zeros((len(customers), len(indexes)))
        dense[which[at >= 0], at[at >= 0]] = self._values[entries[at >= 0]]
        return dense

    def save(self, folder: Path) -> None:
        """Write settings and vectors; the stock codes are in the bundle's vocabulary."""
        if not self._customer_keys.is_lasting:
            logger.warning(
                "No erasure key is set: where this bundle is served, a customer may be a neighbour of themselves, and "
                "nobody can find a customer in it. Set NEXTBASKET_ERASURE_KEY_FILE and train again."
            )
        np.savez_compressed(
            folder / ARRAYS,
            method=np.frombuffer(msgspec.json.encode(self.method), np.uint8),
            keys=self._keys,
            keyed_by=np.frombuffer(self._customer_keys.fingerprint.encode(), np.uint8),
            starts=self._starts,
            places=self._indexes,
            values=self._values,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file that ``save`` wrote.

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
            keys_of_bundle(folder, arrays.get("keyed_by")),
        )


def is_enumerable(folder: Path) -> bool:
    """Whether a bundle has vectors under hashes that anybody can compute.

    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: Its file of vectors is damaged.
    """
    file = folder / ARRAYS
    return file.exists() and "keyed_by" not in read_arrays(file)


def _customer_vector(
    method: Method, purchases: CustomerPurchases, items: ItemTable, vocabulary: StockCodeVocabulary | None
) -> CustomerVector:
    """A customer's vector; without a vocabulary, the part inside it is empty."""
    dense = np.zeros(len(purchases.times))
    for basket, weight in zip(purchases.baskets, method.weights(len(purchases.baskets)), strict=True):
        dense[basket] += weight
    rows = np.flatnonzero(purchases.times)
    known_rows = rows[:0]
    indexes = rows[:0]
    if vocabulary is not None:
        known_rows = rows[rows < len(items)]
        indexes = vocabulary.indexes(items)[known_rows]
        known_rows, indexes = known_rows[indexes >= 0], indexes[indexes >= 0]
    return CustomerVector(purchases.customer_id, rows, dense[rows], known_rows, indexes, dense[known_rows])


def _slices(starts: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """Positions of all entries of some slices, and for each the position of its slice in ``chosen``."""
    sizes = starts[chosen + 1] - starts[chosen]
    which = np.repeat(np.arange(len(chosen)), sizes)
    begins = np.cumsum(sizes) - sizes
    return np.arange(len(which)) - begins[which] + starts[chosen][which], which


def _smallest(values: Floats, count: int) -> Ints:
    """Positions of the ``count`` smallest finite values; of equal ones the first, who bought last."""
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) <= count:
        return finite
    threshold = np.partition(values[finite], count - 1)[count - 1]
    below = np.flatnonzero(values < threshold)
    return np.concatenate([below, np.flatnonzero(values == threshold)[: count - len(below)]])
