"""What the benches send: enough of it where no table is given, and a sentence where a table is too small."""

from bench.scaling.__main__ import STORED as STORED_BY_GROUPS
from bench.stream.__main__ import SENT, STORED
from bench.stream.train_model import INVOICES
from bench.stream.workload import workload
from state.settings import load_settings


def test_the_simulated_table_has_what_is_stored_sent_and_trained_on() -> None:
    data = workload(load_settings({}), stored=max(STORED, STORED_BY_GROUPS, INVOICES), sent=SENT)
    assert len(data.sent) == SENT
    assert len(data.stored) == max(STORED, STORED_BY_GROUPS, INVOICES)
