"""The two towers in NumPy: the same forward pass as in Keras, without TensorFlow.

The output of a tower is a vector: the embedding of the identities plus a representation of the features. The score of
an item for a customer is the dot product of their vectors, plus the item's bias, plus a term for items bought before.
"""

from collections.abc import Mapping

import numpy as np

from training.features.two_tower.customer import KNOWN, Floats
from training.features.two_tower.inputs import CustomerInputs, ItemInputs

TOWERS = ("customer", "item")

IDENTITIES: dict[str, tuple[str, ...]] = {
    "read": ("identities", "width"),
    "offered": ("identities", "width"),
    "identity_bias": ("identities",),
}
"""Embeddings of an item in a history (``read``) and as a candidate (``offered``), and biases; the last row,
of unknown items, is 0."""
FEATURES: dict[str, tuple[str, ...]] = {
    "read_tags": ("item_tags", "tag_width"),
    "item_tags": ("item_tags", "tag_width"),
    "customer_tags": ("customer_tags", "tag_width"),
    "feature_bias": ("item_features",),
}
"""Embeddings of tags (row 0, the unknown one, is 0), and the weight of each feature in an item's bias.

In addition ``{tower}_kernel_{layer}`` ``[in, out]`` and ``{tower}_bias_{layer}`` ``[out]`` of each layer.
"""


class NumpyTowers:
    """The forward pass of the towers: with identities, features or both."""

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        """Checks the arrays.

        Raises:
            ValueError: One is missing, of another shape, or not finite float32.
        """
        for name, array in arrays.items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"the network's {name} is no finite float32")
        self.arrays = dict(arrays)
        self.identities = "offered" in arrays
        self.features = "feature_bias" in arrays
        if not (self.identities or self.features):
            raise ValueError("the network has neither identities nor features")
        sizes: dict[str, int] = {}
        parts = (IDENTITIES if self.identities else {}) | (FEATURES if self.features else {})
        for name, axes in {**parts, "known": ("known",)}.items():
            array = self._array(name)
            if array.ndim != len(axes) or any(
                sizes.setdefault(axis, size) != size for axis, size in zip(axes, array.shape, strict=True)
            ):
                raise ValueError(f"the network's {name} has the shape {array.shape}")
        if sizes["known"] != len(KNOWN):
            raise ValueError(f"the network reads {sizes['known']} numbers of a known item, not {len(KNOWN)}")
        self._layers = {tower: self._chain(tower, sizes) for tower in TOWERS} if self.features else {}
        if self.features and sizes["item_features"] != len(self._layers["item"][0][0]):
            raise ValueError("the biases of the features do not go with the item tower")
        self.width = sizes["width"]

    def _array(self, name: str) -> Floats:
        if name not in self.arrays:
            raise ValueError(f"the network lacks {name}")
        return self.arrays[name]

    def _chain(self, tower: str, sizes: dict[str, int]) -> list[tuple[Floats, Floats]]:
        count = sum(name.startswith(f"{tower}_kernel_") for name in self.arrays)
        layers = [(self._array(f"{tower}_kernel_{n}"), self._array(f"{tower}_bias_{n}")) for n in range(count)]
        if not layers:
            raise ValueError(f"the network lacks {tower}_kernel_0")
        input_width = layers[0][0].shape[0] if layers[0][0].ndim else 0
        for kernel, bias in layers:
            if kernel.ndim != 2 or len(kernel) != input_width or bias.shape != kernel.shape[1:]:
                raise ValueError(f"the layers of the {tower} tower do not fit together")
            input_width = len(bias)
        if sizes.setdefault("width", input_width) != input_width:
            raise ValueError(f"the {tower} tower gives {input_width} numbers, not {sizes['width']}")
        return layers

    def check(
        self, *, codes: int, text: int, numbers: int, time_varying: int, customer_tags: int, item_tags: int
    ) -> None:
        """Checks that the towers were trained on inputs of these sizes.

        Raises:
            ValueError: They were not.
        """
        if self.identities and len(self.arrays["offered"]) != codes + 1:
            raise ValueError(f"{codes} stock codes do not go with {len(self.arrays['offered'])} vectors")
        if not self.features:
            return
        tag_width = self.arrays["item_tags"].shape[1]
        expected = {
            "item": (text + tag_width + time_varying, item_tags),
            "customer": (text + 2 * tag_width + numbers, customer_tags),
        }
        for tower, (input_width, tags) in expected.items():
            if len(self._layers[tower][0][0]) != input_width or len(self.arrays[f"{tower}_tags"]) != tags:
                raise ValueError(f"the {tower} tower reads other inputs than the encoding gives")

    def items(self, inputs: ItemInputs) -> tuple[Floats, Floats]:
        """Vectors float32 ``[rows, width]`` and biases float32 ``[rows]`` of all items."""
        vectors = np.zeros((len(inputs.item_index), self.width), np.float32)
        biases = np.zeros(len(inputs.item_index), np.float32)
        if self.identities:
            vectors += self.arrays["offered"][inputs.item_index]
            biases += self.arrays["identity_bias"][inputs.item_index]
        if self.features:
            tags = self.arrays["item_tags"][inputs.tags].sum(axis=1)
            features = np.concatenate([inputs.text, tags, inputs.time_varying], axis=1)
            vectors += self._represent("item", features)
            biases += features @ self.arrays["feature_bias"]
        return vectors, biases

    def customers(self, customers: CustomerInputs, items: ItemInputs) -> Floats:
        """Vectors of customers, float32 ``[customers, width]``."""
        size = len(customers.numbers)
        vectors = np.zeros((size, self.width), np.float32)
        if self.identities:
            vectors += _bags(customers, self.arrays["read"][items.item_index[customers.row]], size)
        if self.features:
            tags = self.arrays["read_tags"][items.tags[customers.row]].sum(axis=1)
            features = [
                _bags(customers, items.text[customers.row], size),
                _bags(customers, tags, size),
                self.arrays["customer_tags"][customers.tags].sum(axis=1),
                customers.numbers,
            ]
            vectors += self._represent("customer", np.concatenate(features, axis=1))
        return vectors

    def scores(
        self, customers: CustomerInputs, inputs: ItemInputs, items: tuple[Floats, Floats] | None = None
    ) -> Floats:
        """Score of every item for every customer, float32 ``[customers, rows]``.

        Args:
            customers: Inputs of the customers.
            inputs: Inputs of the items.
            items: As ``items`` returns them; computed unless given.
        """
        vectors, biases = self.items(inputs) if items is None else items
        # In double precision and then rounded: OpenBLAS adds in another order at the edges of its blocks, which are
        # elsewhere in a batch of another size, and items with equal vectors are to tie whatever the batch.
        scores = _in_double(self.customers(customers, inputs), vectors.T) + biases
        scores[customers.customer_index, customers.row] += _in_double(customers.known, self.arrays["known"])
        return scores

    def _represent(self, tower: str, features: Floats) -> Floats:
        layers = self._layers[tower]
        for number, (kernel, bias) in enumerate(layers):
            features = features @ kernel + bias
            if number + 1 < len(layers):
                features = np.maximum(features, np.float32(0.0))
        return features


def _in_double(left: Floats, right: Floats) -> Floats:
    """A matrix product, summed in float64 and rounded to float32."""
    product: Floats = (left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)
    return product


def _bags(customers: CustomerInputs, vectors: Floats, size: int) -> Floats:
    """Weighted sums of the vectors of each bag's items, float32 ``[customers, width]``."""
    sums = np.zeros((size, vectors.shape[1]), np.float32)
    np.add.at(sums, customers.customer_index, vectors * customers.weight[:, None])
    return sums
