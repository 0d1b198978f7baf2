"""Examples: what the network is trained on, from the same view that serves."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.view import View

Float16s = NDArray[np.float16]


class Sampling(NamedTuple):
    """How many candidates that were not bought next go into an example.

    ``held`` ones, which the customer bought earlier and did not return, and ``new`` ones.
    """

    held: int = 40
    new: int = 32


class Example(NamedTuple):
    """One visit or emission: all bought candidates and a sample of the others.

    ``bought`` ``[rows]`` · ``correction`` ``[rows]``: log(n / sampled), added to the logits of sampled candidates · the
    inputs as in ``View``, steps and baskets without the padding before the first basket.
    """

    bought: NDArray[np.bool_]
    correction: NDArray[np.float32]
    candidate_inputs: Float16s
    customer_inputs: Float16s
    step_inputs: Float16s
    basket_inputs: Float16s


def sample(view: View, bought: NDArray[np.bool_], sampling: Sampling, generator: np.random.Generator) -> Example | None:
    """The example of one customer's view, or None where none of the candidates was bought or there is no basket."""
    length = int(view.length[0])
    if length == 0 or not bought.any():
        return None
    chosen = [np.flatnonzero(bought)]
    corrections = [np.zeros(len(chosen[0]), np.float32)]
    for group, size in ((view.is_held, sampling.held), (~view.is_held, sampling.new)):
        left = np.flatnonzero(group & ~bought)
        if len(left) > size:
            drawn = generator.choice(left, size, replace=False)
            corrections.append(np.full(size, np.log(len(left) / size), np.float32))
        else:
            drawn = left
            corrections.append(np.zeros(len(left), np.float32))
        chosen.append(drawn)
    rows = np.concatenate(chosen)
    return Example(
        bought=bought[rows],
        correction=np.concatenate(corrections),
        candidate_inputs=view.candidate_inputs[rows].astype(np.float16),
        customer_inputs=view.customer_inputs[0].astype(np.float16),
        step_inputs=view.step_inputs[rows, -length:].astype(np.float16),
        basket_inputs=view.basket_inputs[0, -length:].astype(np.float16),
    )


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of all that examples hold, in hexadecimal: equal only where a training would be the same."""
    digest = hashlib.sha256()
    for example in examples:
        for array in example:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_examples(examples: Sequence[Example], folder: Path) -> None:
    """Write examples, at least one, into an empty folder, as a few large arrays, one after the other."""
    width = examples[0].step_inputs.shape[-1]
    np.save(folder / "rows", np.asarray([len(example.bought) for example in examples]))
    np.save(folder / "lengths", np.asarray([len(example.basket_inputs) for example in examples]))
    np.save(folder / "customer_inputs", np.stack([example.customer_inputs for example in examples]))
    for name in ("bought", "correction", "candidate_inputs", "basket_inputs"):
        np.save(folder / name, np.concatenate([getattr(example, name) for example in examples]))
    np.save(folder / "step_inputs", np.concatenate([example.step_inputs.reshape(-1, width) for example in examples]))


def load_examples(folder: Path) -> list[Example]:
    """The examples that ``save_examples`` wrote, mapped into memory; the files may be deleted meanwhile."""

    def array(name: str) -> NDArray[Any]:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    def parts(name: str, sizes: NDArray[np.intp]) -> list[NDArray[Any]]:
        return np.split(array(name), np.cumsum(sizes)[:-1])

    rows, lengths = array("rows"), array("lengths")
    steps = zip(parts("step_inputs", rows * lengths), rows, lengths, strict=True)
    return list(
        map(
            Example,
            parts("bought", rows),
            parts("correction", rows),
            parts("candidate_inputs", rows),
            array("customer_inputs"),
            (each.reshape(n, length, -1) for each, n, length in steps),
            parts("basket_inputs", lengths),
        )
    )


class ExampleBatch(NamedTuple):
    """Examples of one length, flat: ``customer_index`` is the example of each row."""

    bought: NDArray[np.float32]
    correction: NDArray[np.float32]
    customer_index: NDArray[np.int32]
    candidate_inputs: NDArray[np.float32]
    customer_inputs: NDArray[np.float32]
    step_inputs: NDArray[np.float32]
    basket_inputs: NDArray[np.float32]


def collate(examples: Sequence[Example]) -> ExampleBatch:
    """The batch of examples with the same number of baskets."""
    # Joined and converted in one pass, which takes half the time of two.
    sizes = [len(example.bought) for example in examples]
    return ExampleBatch(
        bought=np.concatenate([example.bought for example in examples], dtype=np.float32),
        correction=np.concatenate([example.correction for example in examples]),
        customer_index=np.repeat(np.arange(len(examples), dtype=np.int32), sizes),
        candidate_inputs=np.concatenate([example.candidate_inputs for example in examples], dtype=np.float32),
        customer_inputs=np.stack([example.customer_inputs for example in examples], dtype=np.float32),
        step_inputs=np.concatenate([example.step_inputs for example in examples], dtype=np.float32),
        basket_inputs=np.stack([example.basket_inputs for example in examples], dtype=np.float32),
    )


def batches(examples: Sequence[Example], size: int, generator: np.random.Generator | None) -> list[list[int]]:
    """Positions of examples in batches of equal length, shuffled where there is a generator."""
    lengths = np.asarray([len(example.basket_inputs) for example in examples])
    order = np.arange(len(examples)) if generator is None else generator.permutation(len(examples))
    order = order[np.argsort(lengths[order], kind="stable")]
    found: list[list[int]] = []
    for length in np.unique(lengths):
        same = order[lengths[order] == length]
        found.extend(same[at : at + size].tolist() for at in range(0, len(same), size))
    if generator is not None:
        generator.shuffle(found)
    return found
