"""The demo's parts without side effects: statistics, screen, baseline, split of the log."""

import io
import shlex
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason, Recommendation, Trigger
from state.events.catalogue import CatalogueDecoder
from state.events.dates import DAY
from state.events.invoice import Invoice, Line
from state.events.rules import decode_rules
from state.settings import Settings
from stream.cli.exit_codes import Failure
from stream.demo.baseline import BaselineRanker
from stream.demo.console import StepPrinter, TaskProgress, progress_bar
from stream.demo.merchandising import demo_merchandising
from stream.demo.next_steps import INVOICE_NO, write_next_steps
from stream.demo.replay import last_invoices
from stream.demo.screen import LiveScreen, PlainScreen, join_parts, reason_text, render_screen, summary_parts
from stream.demo.statistics import MAX_CUSTOMERS, ReplayStatistics
from stream.demo.training import split_log
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import load
from training.serving.baselines.scorer import BaselineScorer


def _recommendation(customer: str, invoice: str) -> Recommendation:
    regular = Item("1", "RED MUG", 0.4, "replenish", Reason("bought_regularly", {"times": 5, "last": "2011-01-01"}))
    new = Item("2", None, 0.1, "discover", Reason("bought_together", {"with": "1", "description": "RED MUG"}))
    due = NextPurchase({"7": 0.1}, None, "2011-02-03", None)
    return Recommendation(
        "r", customer, 1, "", "", Trigger(invoice), ModelVersion("m", "v"), due, [regular, regular, new]
    )


def test_quality_is_over_the_invoices_that_both_have_a_score_for() -> None:
    statistics = ReplayStatistics(3)
    statistics.add_model_score("a", 1.0, 0.5)
    statistics.add_model_score("b", 1.0, 0.5)
    statistics.add_baseline_score("b", 0.0, 0.25)
    statistics.add_baseline_score("c", 1.0, 1.0)
    summary = statistics.summary()
    assert summary.model is not None
    assert summary.baseline is not None
    assert (summary.model.invoices, summary.model.hit, summary.model.recall) == (1, 1.0, 0.5)
    assert (summary.baseline.hit, summary.baseline.recall) == (0.0, 0.25)


def test_a_second_score_of_an_invoice_replaces_the_first() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_model_score("a", 0.0, 0.0)
    statistics.add_model_score("a", 1.0, 0.5)
    statistics.add_baseline_score("a", 0.0, 0.0)
    summary = statistics.summary()
    assert summary.model is not None
    assert summary.model.recall == 0.5


def test_latency_is_from_sending_to_reading_in_milliseconds() -> None:
    statistics = ReplayStatistics(4)
    for number in range(4):
        statistics.add_sent(str(number), float(number))
        statistics.add_recommendation(_recommendation("c", str(number)), number + 0.01 * (number + 1))
    summary = statistics.summary()
    assert summary.p50_ms == pytest.approx(30.0)
    assert summary.p99_ms == pytest.approx(40.0)
    assert summary.events_per_second == pytest.approx(4 / 3.04)
    assert statistics.complete


def test_a_recommendation_for_an_invoice_that_was_not_sent_has_no_latency() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_recommendation(_recommendation("c", "before"), 5.0)
    assert (statistics.summary().recommendations, statistics.summary().p50_ms, statistics.complete) == (1, None, False)


def test_the_table_shows_each_customer_once_newest_first() -> None:
    statistics = ReplayStatistics(1)
    for number in [*range(MAX_CUSTOMERS + 2), 5]:
        statistics.add_recommendation(_recommendation(str(number), "i"), 0.0)
    assert [one.customer_id for one in statistics.latest()][:2] == ["5", str(MAX_CUSTOMERS + 1)]
    assert len(statistics.latest()) == MAX_CUSTOMERS


def test_the_screen_shows_an_item_that_is_new_to_the_customer_and_why() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_sent("i", 0.0)
    statistics.add_recommendation(_recommendation("12680", "i"), 0.05)
    console = Console(width=118, record=True, force_terminal=False)
    console.print(render_screen(statistics, 118, 40))
    text = console.export_text()
    for shown in ("12680", "2011-02-03", "Red Mug", "bought 5 times", "discover", "goes with Red Mug", "p50 50 ms"):
        assert shown in text


NAMES = ["SET/3 RED GINGHAM ROSE STORAGE BOX 1", "ALARM CLOCK BAKELIKE RED", "PAPER CHAIN KIT 50'S CHRISTMAS", "MUG"]


@pytest.fixture
def full_statistics() -> ReplayStatistics:
    """More customers than any screen shows, with descriptions as long as those of UCI Online Retail."""
    statistics = ReplayStatistics(1_200)
    for number in range(MAX_CUSTOMERS):
        regular, new, other = (NAMES[(number + shift) % len(NAMES)] for shift in range(3))
        items = [
            Item("1", regular, 0.4, "replenish", Reason("bought_regularly", {"times": 5 + number, "last": ""})),
            Item("2", new, 0.1, "discover", Reason("bought_together", {"with": "3", "description": other})),
        ]
        invoice = str(number)
        statistics.add_sent(invoice, float(number))
        due = NextPurchase({"7": 0.1}, None, f"2012-01-{number + 1:02}", None)
        model = ModelVersion("m", "v")
        statistics.add_recommendation(
            Recommendation("r", str(12_680 + number), 1, "", "", Trigger(invoice), model, due, items), number + 0.05
        )
        statistics.add_model_score(invoice, 1.0, 0.2)
        statistics.add_baseline_score(invoice, 1.0, 0.2)
    return statistics


def _screen(statistics: ReplayStatistics, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render_screen(statistics, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height", "customers"), [(80, 24, 4), (100, 30, 8), (132, 43, 8)])
def test_the_screen_fits_and_cuts_nothing(
    width: int, height: int, customers: int, full_statistics: ReplayStatistics
) -> None:
    lines = _screen(full_statistics, width, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    assert {cell_len(line) for line in lines} == {width}
    assert "…" not in text
    for recommendation in full_statistics.latest()[:customers]:
        first, new = recommendation.items
        shown = [recommendation.customer_id, recommendation.next_purchase.median, reason_text(first.reason)]
        shown += [str(first.description).title(), str(new.description).title(), reason_text(new.reason)]
        assert [each for each in shown if str(each) not in text] == []
    essentials = ["8/1200", "invoices/s", "8 recommendations", "p50 50 ms, p99 50 ms", "discover", "Ctrl-C ends it"]
    essentials += ["nextbasket hit@10 1.000 recall@10 0.200", "GP-TopFreq hit@10 1.000 recall@10 0.200", "40%", "10%"]
    assert [each for each in essentials if each not in text] == []


@pytest.mark.parametrize(("width", "height", "customers"), [(80, 24, 3), (60, 20, 2)])
def test_table_and_summary_fit_together_after_the_replay(
    width: int, height: int, customers: int, full_statistics: ReplayStatistics
) -> None:
    summary = join_parts(["Done: 1,200 of 1,200 invoices replayed", *summary_parts(full_statistics.summary())], width)
    assert max(map(cell_len, summary)) <= width
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render_screen(full_statistics, width, height - len(summary) - 1, ended=True))
    lines = capture.get().splitlines()
    assert len(lines) + len(summary) < height
    assert sum(each.customer_id in "\n".join(lines) for each in full_statistics.latest()) >= customers
    assert "Ctrl-C" not in lines[-1]


@pytest.mark.parametrize(("width", "height"), [(60, 20), (40, 12), (30, 8)])
def test_a_small_terminal_shows_what_fits(width: int, height: int, full_statistics: ReplayStatistics) -> None:
    lines = _screen(full_statistics, width, height)
    assert len(lines) <= max(height, 11)
    assert {cell_len(line) for line in lines} == {width}
    if width == 60:
        assert any("12687" in line and "2012-01-08" in line for line in lines)
        assert any("discover" in line for line in lines)


def test_long_customer_ids_leave_room_for_the_items() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_recommendation(_recommendation("6f1c2f4e-93a7-4d1e-8f57-0d1c2b3a4e5f", "i"), 0.0)
    text = "\n".join(_screen(statistics, 80, 24))
    assert "6f1c2f4e-9" in text
    assert "Red Mug  replenish  bought 5 times" in text


def test_the_live_table_redraws_within_the_terminal_and_shows_the_cursor_again(
    full_statistics: ReplayStatistics,
) -> None:
    file = io.StringIO()
    console = Console(width=80, height=24, file=file, force_terminal=True, color_system=None)
    with LiveScreen(console) as screen:
        for _ in range(3):
            screen.show(full_statistics)
    redraws = file.getvalue().split("invoices in, next baskets out")[1:]
    assert len(redraws) >= 3
    assert max(redraw.count("\n") for redraw in redraws) < 24
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l") > -1


def test_phrases_are_joined_into_lines_and_never_broken() -> None:
    assert join_parts(["one", "two", "three"], 9) == ["one · two", "three"]
    assert join_parts(["one", "longer than a line", "two"], 9) == ["one", "longer than a line", "two"]


@pytest.mark.parametrize(
    ("terminal", "lines"), [(True, ["[   0 s] four", "         words", "         here"]), (False, 1)]
)
def test_steps_are_wrapped_between_words_on_a_terminal(terminal: bool, lines: list[str] | int) -> None:
    file = io.StringIO()
    StepPrinter(Console(width=14, file=file, force_terminal=terminal, color_system=None)).print("four words here")
    printed = file.getvalue().splitlines()
    assert (printed if terminal else len(printed)) == lines


def test_the_training_progress_fits_into_80_columns() -> None:
    file = io.StringIO()
    console = Console(width=80, file=file, force_terminal=True, color_system=None)
    with progress_bar(console) as bar:
        shown = TaskProgress(bar, "training")
        shown.update(990, 1_000, "epoch 3/4, training 19.402, validation 19.668")
        bar.refresh()
        text = file.getvalue()
    assert "training epoch 3/4, training 19.402, validation 19.668" in text
    assert " 99%" in text
    assert "…" not in text


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    statistics = ReplayStatistics(1)
    statistics.add_recommendation(_recommendation("12680", "i"), 0.0)
    with PlainScreen(Console(width=200)) as screen:
        screen.show(statistics)
        screen.show(statistics)
    printed = capsys.readouterr().out
    assert printed.count("12680: Red Mug [replenish, 40%, bought 5 times]") == 1, "nothing new the second time"


def _invoice(number: str, date: int, *codes: str, customer: str = "c") -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, 1000, 1.0) for code in codes))


def test_the_baseline_is_scored_on_its_ranking_before_the_invoice() -> None:
    baseline = BaselineRanker(BaselineScorer("gp_topfreq", "none"), window=100)
    baseline.apply([_invoice("1", 100, "a", "b"), _invoice("2", 200, "z", customer="other")])
    baseline.rank(["c", "unknown"])
    assert baseline.score_and_apply(_invoice("3", 300, "a", "new")) == (1.0, 0.5)
    assert baseline.score_and_apply(_invoice("4", 400, "new")) == (1.0, 1.0), (
        "the fourth is ranked after the third was applied"
    )
    assert baseline.score_and_apply(_invoice("5", 500, "a", customer="first time")) is None
    assert baseline.score_and_apply(Invoice("C6", "c", 600, (Line("a", -1000, 1.0),))) is None


def test_a_tenth_of_the_log_is_replayed_at_most_and_invoices_of_one_date_stay_together() -> None:
    log = [_invoice(str(number), number // 3, "a", customer=str(number)) for number in range(300)]
    trained, replayed = split_log(log, 1_000)
    assert [*trained, *replayed] == log
    assert (len(trained), len(replayed)) == (270, 30)
    assert len(split_log(log, 4)[1]) == 6, "two dates with three invoices each"
    with pytest.raises(Failure, match="too few"):
        split_log(log[:99], 10)


def test_the_last_invoice_of_each_customer() -> None:
    log = [_invoice(number, 1, "a", customer=customer) for number, customer in (("1", "x"), ("2", "y"), ("3", "x"))]
    assert {invoice.invoice_no for invoice in last_invoices(log)} == {"2", "3"}


@pytest.mark.parametrize("dialect", ["uci", "plain"])
@pytest.mark.parametrize("customer", ["12680", 'o\'hara $1 "x"'])
def test_the_invoice_to_send_is_read_in_its_dialect_without_an_assumption(
    dialect: str, customer: str, tmp_path: Path
) -> None:
    bought = Item("22613", 'NAPKINS, "SPACEBOY"', 0.4, "replenish", Reason("bought_before", {}))
    settings = Settings(dialect=dialect)
    steps = write_next_steps(tmp_path, {}, dialect=dialect, customer=customer, bought=bought, date=1_323_435_000)
    replay = shlex.split(steps.commands[1][0])
    cleaned = clean(load(Path(replay[-1]), timezone="UTC"), settings)
    assert cleaned.ledger.reading.lines() == [f"How this table was read: dialect {dialect}, zone UTC."]
    assert [(i.invoice_no, i.customer_id, i.date, i.purchased_codes) for i in invoices(cleaned)] == [
        (INVOICE_NO, customer, 1_323_435_000, frozenset({"22613"}))
    ]


def test_the_printed_commands_are_quoted_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    customer = "o'hara $HOME"
    steps = write_next_steps(
        folder,
        {"NEXTBASKET_REDIS_URL": "unix:///tmp/a b/redis.sock"},
        dialect="plain",
        customer=customer,
        bought=Item("1", None, 0.4, "replenish", Reason("bought_before", {})),
        date=0,
    )
    show, replay, read = (shlex.split(command) for command, _ in steps.commands)
    assert show == ["nextbasket", "show", customer]
    assert Path(replay[2]).is_file()
    assert read[-1] == f'"customer_id":"{customer}"'
    assert shlex.split(steps.load_settings) == [".", str(folder / "environment")]
    assert "export NEXTBASKET_REDIS_URL='unix:///tmp/a b/redis.sock'" in (folder / "environment").read_text()


def test_lists_that_the_rules_emptied_are_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    statistics = ReplayStatistics(1)
    full = _recommendation("12680", "a")
    statistics.add_recommendation(msgspec.structs.replace(full, items=[]), 1.0)
    console = Console(width=80)
    console.print(render_screen(statistics, 80, 23))
    assert "nothing: the rules allow no item" in capsys.readouterr().out
    with PlainScreen(console) as screen:
        screen.show(statistics)
    assert "12680: nothing: the rules allow no item" in capsys.readouterr().out


def test_the_catalogue_and_the_rules_of_the_demo_are_valid_and_mostly_switched_off() -> None:
    settings = Settings()
    log = [
        Invoice(str(day), "c", day * DAY, tuple(Line(code, 2_000, 1.5, f"RED {kind}") for code, kind in shop))
        for day in range(60)
        for shop in [[(f"{number}", ("MUG", "BAG")[number % 2]) for number in range(12)]]
    ]
    made = demo_merchandising(log)
    messages = made.messages(settings)
    decoder = CatalogueDecoder(settings)
    items = [decoder.decode(each.value, each.key) for each in messages if each.topic == settings.topics.items]
    assert {item.category for item in items} == {("Mug",), ("Bag",)}
    assert {item.price for item in items} == {1.5}
    assert {item.stock for item in items} == {0, 58}  # 29 days of 2 pieces; one is out of stock
    (document,) = (decode_rules(each.value) for each in messages if each.topic == settings.topics.rules)
    assert [rule.name for rule in document.rules if rule.enabled] == ["eight of a category", "one in ten thousand"]
    assert "12 items and 8 rules, 2 of them switched on" in made.sentence


def test_the_demo_needs_no_descriptions_for_its_rules() -> None:
    made = demo_merchandising([Invoice("1", "c", 0, (Line("7", 1_000, 2.0),))])
    assert made.items == [{"stock_code": "7", "price": 2.0, "stock": 1}]
    assert {rule["kind"] for rule in made.rules["rules"]} == {"cap", "least_probability", "cooldown", "only", "pin"}
