"""The network of ``basket_lstm`` in NumPy: the same forward pass as in Keras, without TensorFlow."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS
from training.features.basket_lstm.view import View
from training.serving.standardise import standardise

Floats = NDArray[np.float32]

DAYS_SINCE_LAST = CUSTOMER_INPUTS.index("log_days_since_last")
"""Above 0 at a visit; 0 at an emission, right after a basket."""

HEADS = 8
"""The first half of them scores visits, the other half emissions."""

_CANDIDATES = 1_024
"""Candidates that pass through all layers at once, if their customers have so many: their gates stay in the cache."""

SHAPES: dict[str, tuple[str, ...]] = {
    "candidate_mean": ("candidate",),
    "candidate_deviation": ("candidate",),
    "customer_mean": ("customer",),
    "customer_deviation": ("customer",),
    "step_mean": ("step",),
    "step_deviation": ("step",),
    "basket_mean": ("basket",),
    "basket_deviation": ("basket",),
    "lstm_kernel": ("step+basket", "gates"),
    "lstm_recurrent": ("cells", "gates"),
    "lstm_bias": ("gates",),
    "hidden_kernel": ("heads", "candidate+cells", "width"),
    "hidden_bias": ("heads", "width"),
    "hidden_customer_kernel": ("heads", "customer", "width"),
    "second_kernel": ("heads", "width", "second"),
    "second_bias": ("heads", "second"),
    "score_kernel": ("heads", "second", "one"),
    "linear_kernel": ("heads", "candidate+cells", "one"),
}
"""Every array of the network and its axes; ``gates`` is 4 × ``cells``, in Keras's order i, f, c, o."""
HEAD_ARRAYS = [name for name, axes in SHAPES.items() if axes[0] == "heads"]


def check_arrays(arrays: Mapping[str, NDArray[np.float32]], sizes: Mapping[str, int]) -> None:
    """Checks that arrays are those of a network with the given input widths.

    Args:
        arrays: By name.
        sizes: Width of ``candidate``, ``customer``, ``step`` and ``basket``.

    Raises:
        ValueError: One is missing, unknown, of another shape, or is not finite float32.
    """
    missing = SHAPES.keys() - arrays.keys()
    if missing:
        raise ValueError(f"the network has no {', '.join(sorted(missing))}")
    unknown = arrays.keys() - SHAPES.keys()
    if unknown:
        raise ValueError(f"the network has {', '.join(sorted(unknown))}, unknown to this version: train it anew")
    for name, array in arrays.items():
        if array.ndim != len(SHAPES[name]):
            raise ValueError(f"the network's {name} has {array.ndim} axes")
    if len(arrays["hidden_bias"]) != HEADS:
        raise ValueError(f"the network has {len(arrays['hidden_bias'])} heads, not {HEADS}: train it anew")
    known = dict(sizes) | {"one": 1, "heads": HEADS}
    known["cells"] = len(arrays["lstm_recurrent"])
    known["gates"] = 4 * known["cells"]
    known["width"] = arrays["hidden_bias"].shape[1]
    known["second"] = arrays["second_bias"].shape[1]
    for name, axes in SHAPES.items():
        array = arrays[name]
        shape = tuple(sum(known[part] for part in axis.split("+")) for axis in axes)
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"the network's {name} is no finite float32 of shape {shape}")
        if name.endswith("deviation") and not (array > 0.0).all():
            raise ValueError(f"the network's {name} is not above 0")


class NumpyNetwork:
    """The forward pass over a view.

    Customers are processed in blocks with a column for each candidate, so that every operation reads and writes long
    rows. Each customer of a block is a further input that is 1 for the customer's candidates: its weights are what the
    customer or the customer's basket adds to a layer, which is thereby part of the matrix product. All gates take one
    ``tanh``: σ(x) = ½ tanh(½ x) + ½, with the inner halves in the weights.
    """

    def __init__(self, arrays: Mapping[str, Floats], sizes: Mapping[str, int]) -> None:
        """Prepares the arrays of ``SHAPES``.

        Raises:
            ValueError: They do not fit (see ``check_arrays``).
        """
        check_arrays(arrays, sizes)
        self.arrays = dict(arrays)
        self._lstm = _Lstm(arrays, sizes["step"])
        half_of_heads, cells = HEADS // 2, len(arrays["lstm_recurrent"])
        self._visit_heads, self._emission_heads = (
            _Heads({name: arrays[name][start : start + half_of_heads] for name in HEAD_ARRAYS}, cells)
            for start in (0, half_of_heads)
        )

    def logits(self, view: View) -> Floats:
        """One logit a candidate, to be compared within its customer only, float32 ``[candidates]``."""
        return self.inputs_and_logits(view)[1]

    def inputs_and_logits(self, view: View) -> tuple[Floats, Floats]:
        """Standardised inputs of the candidates, float32 ``[candidates, inputs]``, and ``logits``."""
        inputs = self._standardised("candidate", view.candidate_inputs)
        of_customer = self._standardised("customer", view.customer_inputs)
        steps = self._standardised("step", view.step_inputs).transpose(1, 2, 0)
        of_basket = self._lstm.of_baskets(self._standardised("basket", view.basket_inputs))
        ends = view.customer.searchsorted(np.arange(len(view.length) + 1)).tolist()
        length = view.length.tolist()
        visits = view.customer_inputs[:, DAYS_SINCE_LAST] > 0.0
        logits = np.empty(len(inputs), np.float32)
        for heads, customers in (
            (self._visit_heads, visits.nonzero()[0]),
            (self._emission_heads, (~visits).nonzero()[0]),
        ):
            by_length = customers[(-view.length[customers]).argsort(kind="stable")].tolist()
            for block in _blocks(by_length, ends):
                columns = [slice(ends[customer], ends[customer + 1]) for customer in block]
                states = self._lstm.states(
                    [steps[:, :, each] for each in columns],
                    of_basket[:, :, block],
                    [length[customer] for customer in block],
                )
                found = heads.logits([inputs.T[:, each] for each in columns], states, of_customer[block])
                start = 0
                for each in columns:
                    end = start + each.stop - each.start
                    logits[each] = found[start:end]
                    start = end
        return inputs, logits

    def _standardised(self, name: str, values: Floats) -> Floats:
        return standardise(values, self.arrays[f"{name}_mean"], self.arrays[f"{name}_deviation"])


def _blocks(customers: Sequence[int], ends: Sequence[int]) -> Iterator[list[int]]:
    """Customers with candidates, in order: those of a block have at most ``_CANDIDATES``, or it is a single one."""
    block: list[int] = []
    size = 0
    for customer in customers:
        n = ends[customer + 1] - ends[customer]
        if block and size + n > _CANDIDATES:
            yield block
            block, size = [], 0
        if n:
            block.append(customer)
            size += n
    if block:
        yield block


def _rectify(values: Floats) -> None:
    """Replaces values below 0 by 0; a quarter of the time of ``np.maximum`` with a number (NumPy 2.4)."""
    np.clip(values, np.float32(0.0), np.float32(np.inf), out=values)


def _mark_customers(rows: Floats, sizes: Sequence[int]) -> None:
    """Sets ``rows`` ``[customers, candidates]`` to 1 where the candidate is the customer's, else 0."""
    rows[:] = 0.0
    start = 0
    for row, size in zip(rows, sizes, strict=True):
        row[start : start + size] = 1.0
        start += size


class _Lstm:
    """The LSTM of the network, for a block of customers."""

    def __init__(self, arrays: Mapping[str, Floats], steps: int) -> None:
        self._cells = cells = len(arrays["lstm_recurrent"])
        # Keras's order of the gates is i, f, c, o; here c is the last, as it alone is no σ. The state is stored
        # doubled (2 σ(x) tanh(y) = (tanh(½ x) + 1) tanh(y)), so its weights are halved once more.
        order = np.concatenate([np.arange(2 * cells), np.arange(3 * cells, 4 * cells), np.arange(2 * cells, 3 * cells)])
        half = np.full(4 * cells, 0.5, np.float32)
        half[3 * cells :] = 1.0
        kernel: Floats = arrays["lstm_kernel"][:, order] * half
        recurrent: Floats = arrays["lstm_recurrent"][:, order] * (half * np.float32(0.5))
        self._weights = np.ascontiguousarray(np.concatenate([recurrent, kernel[:steps]]).T)
        self._basket_kernel = np.ascontiguousarray(kernel[steps:])
        self._bias: Floats = arrays["lstm_bias"][order] * half

    def of_baskets(self, baskets: Floats) -> Floats:
        """What each basket adds to the gates, float32 ``[steps, gates, customers]``."""
        gates: Floats = baskets @ self._basket_kernel + self._bias
        return gates.transpose(1, 2, 0)

    def states(self, steps: Sequence[Floats], of_basket: Floats, length: Sequence[int]) -> Floats:
        """Doubled state after the newest basket, float32 ``[cells, candidates]``; zeros without any basket.

        Without padding: the longest histories are the first, so those that have begun at a step are the first columns.

        Args:
            steps: Standardised inputs of each customer's candidates ``[steps, inputs, candidates]``.
            of_basket: As ``of_baskets`` returns it, of these customers.
            length: Number of baskets of each customer, not rising.
        """
        cells, total = self._cells, len(of_basket)
        sizes = [each.shape[2] for each in steps]
        ends = np.cumsum([0, *sizes]).tolist()
        width = self._weights.shape[1]
        inputs = np.zeros((width + len(sizes), ends[-1]), np.float32)  # state, inputs of the step, customers
        _mark_customers(inputs[width:], sizes)
        weights = np.concatenate([self._weights, of_basket[0]], axis=1)
        gates = np.empty((4 * cells, ends[-1]), np.float32)
        memory = np.zeros((cells, ends[-1]), np.float32)
        for step in range(total - length[0], total):
            begun = sum(each >= total - step for each in length)
            for start, of_customer in zip(ends, steps[:begun], strict=False):
                inputs[cells:width, start : start + of_customer.shape[2]] = of_customer[step]
            weights[:, width:] = of_basket[step]
            active = slice(0, ends[begun])
            gate, cell = gates[:, active], memory[:, active]
            np.matmul(weights, inputs[:, active], out=gate)
            np.tanh(gate, out=gate)
            new = gate[3 * cells :]
            gate[: 3 * cells] += 1.0
            cell *= gate[cells : 2 * cells]
            new *= gate[:cells]
            cell += new
            cell *= 0.5
            np.tanh(cell, out=new)
            np.multiply(gate[2 * cells : 3 * cells], new, out=inputs[:cells, active])
        return inputs[:cells]


class _Heads:
    """The heads of visits or of emissions; the output is their mean logit."""

    def __init__(self, arrays: Mapping[str, Floats], cells: int) -> None:
        n, n_inputs, width = arrays["hidden_kernel"].shape
        self._shape = n, width + 1
        scale = np.ones((n_inputs, 1), np.float32)
        scale[n_inputs - cells :] = 0.5  # the state is doubled
        # The first layers of all heads are one matrix product. Each has one unit more, which is always 1: the bias of
        # the second layer is its weight.
        hidden = np.zeros((n, width + 1, n_inputs), np.float32)
        hidden[:, :width] = (arrays["hidden_kernel"] * scale).transpose(0, 2, 1)
        self._hidden = hidden.reshape(-1, n_inputs)
        of_customer = np.zeros((n, width + 1, arrays["hidden_customer_kernel"].shape[1]), np.float32)
        of_customer[:, :width] = arrays["hidden_customer_kernel"].transpose(0, 2, 1)
        self._hidden_customer = of_customer.reshape(n * (width + 1), -1)
        bias = np.ones((n, width + 1), np.float32)
        bias[:, :width] = arrays["hidden_bias"]
        self._hidden_bias = bias.reshape(-1, 1)
        second = [arrays["second_kernel"], arrays["second_bias"][:, None]]
        self._second = np.ascontiguousarray(np.concatenate(second, axis=1).transpose(0, 2, 1))
        self._score = arrays["score_kernel"].ravel() * np.float32(1.0 / n)
        self._linear = (arrays["linear_kernel"].mean(axis=0) * scale)[:, 0]

    def logits(self, inputs: Sequence[Floats], states: Floats, of_customer: Floats) -> Floats:
        """Logits ``[candidates]``.

        Args:
            inputs: Standardised inputs of each customer's candidates ``[inputs, candidates]``.
            states: Of the LSTM, doubled ``[cells, candidates]``.
            of_customer: Standardised inputs of the customers ``[customers, inputs]``.
        """
        n_inputs, width = inputs[0].shape[0], self._hidden.shape[1]
        features = np.empty((width + len(inputs), states.shape[1]), np.float32)  # inputs, state, customers
        np.concatenate(inputs, axis=1, out=features[:n_inputs])
        features[n_inputs:width] = states
        _mark_customers(features[width:], [each.shape[1] for each in inputs])
        by_customer = self._hidden_customer @ of_customer.T + self._hidden_bias
        hidden: Floats = np.concatenate([self._hidden, by_customer], axis=1) @ features
        _rectify(hidden)
        second = np.matmul(self._second, hidden.reshape(*self._shape, -1))
        _rectify(second)
        logits: Floats = self._score @ second.reshape(len(self._score), -1)
        logits += self._linear @ features[:width]
        return logits
