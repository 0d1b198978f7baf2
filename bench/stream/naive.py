"""(f) A simple worker with a model: ``async for``, histories in memory, ``model.predict`` for each event.

The LSTM (128 units, 50 steps, a softmax over all items) has random weights: only its cost matters.
Run as ``python -m bench.stream.naive worker --without-web`` with BENCH_BROKERS and BENCH_NAMESPACE set.
"""

import os
from collections import defaultdict
from typing import Any

import faust
import numpy as np

BROKERS, NAMESPACE = os.environ["BENCH_BROKERS"], os.environ["BENCH_NAMESPACE"]
STEPS, ITEMS = 50, 3_700


class Answer(faust.Record, serializer="json"):
    """An answer."""

    customer_id: str
    id: int
    items: list[int]


def build_model() -> Any:
    """An LSTM over the last items bought."""
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((STEPS,), dtype="int32"),
            keras.layers.Embedding(ITEMS + 1, 64),
            keras.layers.LSTM(128),
            keras.layers.Dense(ITEMS + 1, activation="softmax"),
        ]
    )
    model.predict(np.zeros((1, STEPS), "int32"), verbose=0)
    return model


app = faust.App(f"{NAMESPACE}.naive", broker=f"kafka://{BROKERS}", store="memory://")
invoices = app.topic(f"{NAMESPACE}.invoices", value_serializer="json")
recommendations = app.topic(f"{NAMESPACE}.recommendations", value_type=Answer)
model = build_model()
vocabulary: dict[str, int] = {}
bought: dict[str, list[int]] = defaultdict(list)


@app.agent(invoices)
async def recommend(stream: faust.StreamT[dict[str, Any]]) -> None:
    """Answer each invoice."""
    async for invoice in stream:
        customer = invoice["customer_id"]
        for line in invoice["lines"]:
            code = vocabulary.setdefault(line["stock_code"], min(len(vocabulary) + 1, ITEMS))
            bought[customer].append(code)
        sequence = np.zeros((1, STEPS), "int32")
        recent = bought[customer][-STEPS:]
        sequence[0, -len(recent) :] = recent
        probabilities = model.predict(sequence, verbose=0)[0]
        items = [int(item) for item in np.argsort(-probabilities)[:10]]
        await recommendations.send(key=customer, value=Answer(customer_id=customer, id=invoice["id"], items=items))


if __name__ == "__main__":
    app.main()
