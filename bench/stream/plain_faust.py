"""(a) A Faust agent as in Faust's documentation: records, ``async for``, ``send``. No state, no model.

Run as ``python -m bench.stream.plain_faust worker --without-web`` with BENCH_BROKERS and BENCH_NAMESPACE set.
"""

import os

import faust

BROKERS, NAMESPACE = os.environ["BENCH_BROKERS"], os.environ["BENCH_NAMESPACE"]


class FaustLine(faust.Record, serializer="json"):
    """A flat line."""

    InvoiceNo: str
    StockCode: str
    Description: str | None
    Quantity: float
    InvoiceDate: str
    UnitPrice: float
    CustomerID: str
    Country: str | None
    id: int


class Answer(faust.Record, serializer="json"):
    """An answer of the size of the shortest recommendation of ten items."""

    customer_id: str
    id: int
    items: list[str]


app = faust.App(f"{NAMESPACE}.plain_faust", broker=f"kafka://{BROKERS}", store="memory://")
invoices = app.topic(f"{NAMESPACE}.invoices", value_type=FaustLine)
recommendations = app.topic(f"{NAMESPACE}.recommendations", value_type=Answer)


@app.agent(invoices)
async def recommend(lines: faust.StreamT[FaustLine]) -> None:
    """Answer each line."""
    async for line in lines:
        answer = Answer(customer_id=line.CustomerID, id=line.id, items=[line.StockCode] * 10)
        await recommendations.send(key=line.CustomerID, value=answer)


if __name__ == "__main__":
    app.main()
