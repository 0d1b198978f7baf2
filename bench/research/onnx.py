"""The network of ``basket_lstm`` in NumPy and in ONNX Runtime: time, start, memory, size, difference.

    pip install onnxruntime onnx
    python -m bench.research.onnx

Neither library is a dependency of the project. Weights and inputs are random, since their values do not matter: 270
candidates a customer, histories of 1 to 12 baskets, all at a visit. Both runtimes have one thread; times are processor
time. For ONNX Runtime the sequences are left-aligned beforehand, which is not counted. Takes half a minute.
"""

import argparse
import importlib.metadata
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from training.features.basket_lstm.flat_histories import STEPS
from training.features.basket_lstm.view import View
from training.serving.basket_lstm.network import DAYS_SINCE_LAST, HEADS, SHAPES, NumpyNetwork
from training.serving.basket_lstm.scorer import input_sizes
from training.serving.standardise import BOUND

CUSTOMERS = (1, 32)
CANDIDATES = 270
CELLS, WIDTH = 24, 64
"""As in ``training.models.basket_lstm.network``, which would import TensorFlow."""
SECONDS = 3.0
ONNX_RUNTIME = ("onnxruntime", "flatbuffers", "protobuf", "packaging")
"""The distributions that serving with ONNX Runtime would install."""

Floats = NDArray[np.float32]


def main() -> None:
    """Print a line for each runtime, then time by number of customers and the greatest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", choices=("numpy", "onnx"), help=argparse.SUPPRESS)
    start = parser.parse_args().start
    if start is not None:
        _start(start)
        return
    for name in ("numpy", "onnx"):
        command = [sys.executable, "-m", "bench.research.onnx", "--start", name]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")
    print(f"ONNX Runtime installs {sum(map(_installed_mb, ONNX_RUNTIME)):.0f} MB")
    weights = arrays()
    network, session = NumpyNetwork(weights, input_sizes()), make_session(weights)
    print(f"{'customers':>9}  {'numpy, ms each':>14}  {'ONNX Runtime':>12}  {'max difference of logits':>24}")
    with threadpool_limits(1):
        for customers in CUSTOMERS:
            view = random_view(customers)
            feed = onnx_inputs(view)
            difference = np.abs(network.logits(view) - session.run(None, feed)[0]).max()
            ours = _milliseconds(lambda view=view: network.logits(view)) / customers  # type: ignore[misc]
            theirs = _milliseconds(lambda feed=feed: session.run(None, feed)) / customers  # type: ignore[misc]
            print(f"{customers:>9}  {ours:>14.3f}  {theirs:>12.3f}  {difference:>24.1e}")


def arrays() -> dict[str, Floats]:
    """Random weights of the shapes of ``SHAPES``."""
    generator = np.random.default_rng(7)
    known = input_sizes() | {"one": 1, "heads": HEADS, "cells": CELLS, "gates": 4 * CELLS}
    known |= {"width": WIDTH, "second": WIDTH}
    found = {}
    for name, axes in SHAPES.items():
        shape = tuple(sum(known[part] for part in axis.split("+")) for axis in axes)
        values = generator.normal(size=shape) * 0.1
        found[name] = (np.abs(values) + 1.0 if name.endswith("deviation") else values).astype(np.float32)
    return found


def random_view(customers: int) -> View:
    """Inputs of the right shapes; what the network does not read is left out."""
    generator, sizes = np.random.default_rng(1), input_sizes()

    def normal(*shape: int) -> Floats:
        return generator.normal(size=shape).astype(np.float32)

    of_customer = normal(customers, sizes["customer"])
    of_customer[:, DAYS_SINCE_LAST] = 1.0
    nothing: Any = None
    return View(
        customer=np.repeat(np.arange(customers), CANDIDATES),
        row=nothing,
        is_held=nothing,
        candidate_inputs=normal(customers * CANDIDATES, sizes["candidate"]),
        customer_inputs=of_customer,
        step_inputs=normal(customers * CANDIDATES, STEPS, sizes["step"]),
        basket_inputs=normal(customers, STEPS, sizes["basket"]),
        length=generator.integers(1, STEPS + 1, size=customers),
        unknown=nothing,
        item_index=nothing,
        customer_items=nothing,
        customer_item_index=nothing,
    )


def onnx_inputs(view: View) -> dict[str, NDArray[Any]]:
    """The feed of the graph: sequences begin at the first step, as ONNX's LSTM wants them."""
    step, basket = view.step_inputs.copy(), view.basket_inputs.copy()
    for customer, length in enumerate(view.length.tolist()):
        rows = np.flatnonzero(view.customer == customer)
        step[rows] = np.roll(step[rows], length, axis=1)
        basket[customer] = np.roll(basket[customer], length, axis=0)
    return {
        "candidate": view.candidate_inputs,
        "customer": view.customer_inputs,
        "step": step,
        "basket": basket,
        "of": view.customer,
        "length": view.length[view.customer].astype(np.int32),
    }


def make_session(weights: dict[str, Floats]) -> Any:
    """An ONNX Runtime session with the visit heads of the network, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(make_graph(weights), options, providers=["CPUExecutionProvider"])


def make_graph(weights: dict[str, Floats]) -> bytes:
    """The network's forward pass at visits as a serialised ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    constants: dict[str, NDArray[Any]] = {}
    nodes: list[Any] = []

    def node(operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(name: str, value: NDArray[Any]) -> str:
        constants[name] = value
        return name

    def standardised(group: str) -> str:
        mean = constant(f"{group}_mean", weights[f"{group}_mean"])
        deviation = constant(f"{group}_deviation", weights[f"{group}_deviation"])
        low, high = constant("low", np.asarray(-BOUND, np.float32)), constant("high", np.asarray(BOUND, np.float32))
        return node("Clip", node("Div", node("Sub", group, mean), deviation), low, high)

    def gates(kernel: Floats) -> Floats:
        """Keras's order i, f, c, o as ONNX's i, o, f, c, one direction first."""
        i, f, c, o = np.split(kernel, 4, axis=-1)
        return np.ascontiguousarray(np.concatenate([i, o, f, c], axis=-1).T[None])

    candidate, customer = standardised("candidate"), standardised("customer")
    read = node("Concat", standardised("step"), node("Gather", standardised("basket"), "of"), axis=2)
    bias = np.concatenate([gates(weights["lstm_bias"][None])[:, :, 0], np.zeros((1, 4 * CELLS), np.float32)], axis=1)
    nodes.append(
        helper.make_node(
            "LSTM",
            [
                node("Transpose", read, perm=[1, 0, 2]),
                constant("lstm_w", gates(weights["lstm_kernel"])),
                constant("lstm_r", gates(weights["lstm_recurrent"])),
                constant("lstm_b", bias),
                "length",
            ],
            ["", "state"],
            hidden_size=CELLS,
        )
    )
    state = node("Squeeze", "state", constant("first", np.asarray([0], np.int64)))
    features = node("Concat", candidate, state, axis=1)
    heads = range(HEADS // 2)
    per_customer = node(
        "Add",
        node(
            "MatMul", customer, constant("hc", np.concatenate(weights["hidden_customer_kernel"][: HEADS // 2], axis=1))
        ),
        constant("hb", weights["hidden_bias"][: HEADS // 2].ravel()),
    )
    hidden_kernel = constant("hk", np.concatenate(weights["hidden_kernel"][: HEADS // 2], axis=1))
    hidden = node("Relu", node("Add", node("MatMul", features, hidden_kernel), node("Gather", per_customer, "of")))
    logits = node("MatMul", features, constant("linear", weights["linear_kernel"][: HEADS // 2].mean(axis=0)))
    for head in heads:
        bounds = [constant(f"at_{n}", np.asarray([n * WIDTH], np.int64)) for n in (head, head + 1)]
        part = node("Slice", hidden, *bounds, constant("axis", np.asarray([1], np.int64)))
        second = node(
            "Relu",
            node(
                "Add",
                node("MatMul", part, constant(f"second_{head}", weights["second_kernel"][head])),
                constant(f"second_bias_{head}", weights["second_bias"][head]),
            ),
        )
        score = constant(f"score_{head}", weights["score_kernel"][head] / np.float32(HEADS // 2))
        logits = node("Add", logits, node("MatMul", second, score))
    output = node("Squeeze", logits, constant("last", np.asarray([1], np.int64)))
    number = {"of": TensorProto.INT64, "length": TensorProto.INT32}
    inputs = {
        "candidate": [None, None],
        "customer": [None, None],
        "step": [None, STEPS, None],
        "basket": [None, STEPS, None],
        "of": [None],
        "length": [None],
    }
    graph = helper.make_graph(
        nodes,
        "basket_lstm",
        [helper.make_tensor_value_info(n, number.get(n, TensorProto.FLOAT), shape) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    serialised: bytes = model.SerializeToString()
    return serialised


def _start(name: str) -> None:
    """Print the time to load a runtime and its network, and the memory after a first batch."""
    weights, view = arrays(), random_view(CUSTOMERS[-1])
    content = make_graph(weights) if name == "onnx" else b""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    if name == "numpy":
        with threadpool_limits(1):
            NumpyNetwork(weights, input_sizes()).logits(view)
    else:
        feed = onnx_inputs(view)
        started = time.process_time()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, feed)
    milliseconds = 1000.0 * (time.process_time() - started)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{name}: {milliseconds:.0f} ms from the start to a first batch of {CUSTOMERS[-1]}, {more:.0f} MB more memory"
    )


def _installed_mb(distribution: str) -> float:
    files = importlib.metadata.distribution(distribution).files or []
    return sum(path.stat().st_size for file in files if (path := file.locate()).is_file()) / 1e6  # type: ignore[attr-defined]  # a Path here


def _milliseconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    call()
    calls, started, ends = 0, time.process_time(), time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        call()
        calls += 1
    return 1000.0 * (time.process_time() - started) / calls


if __name__ == "__main__":
    main()
