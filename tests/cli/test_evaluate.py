"""``nextbasket evaluate`` from end to end on a small table."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from state.domain.ranking_metrics import ndcg_at
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from training.model_table import MODEL_TABLE

SPAN = ["--from", "2011-06-15", "--to", "2011-07-20"]


def test_the_figures_follow_from_the_rankings(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics of the rankings in ``--predictions-out``, computed here, are those of the report."""
    from state.settings import load_settings
    from training.data.cleaning.clean import clean
    from training.data.cleaning.invoices import invoices
    from training.data.cleaning.ledger import Ledger
    from training.data.tables.invoice_table import load

    out, figures = tmp_path / "rankings.parquet", tmp_path / "figures.json"
    arguments = ["evaluate", "--data", str(table), *SPAN, "--models", "GP-TopFreq,count_demand"]
    assert main([*arguments, "--predictions-out", str(out), "--json", str(figures)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "purchases:" in shown
    assert "gp_topfreq" in shown

    report = json.loads(figures.read_text())
    models = report["moments"]["visit"]["models"]
    assert list(models) == ["gp_topfreq", "count_demand"]
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 2 * report["invoices"]
    cleaned = clean(load(table), load_settings({}))
    assert msgspec.convert(report["ledger"], Ledger) == cleaned.ledger
    log = invoices(cleaned)
    baskets = {(invoice.customer_id, invoice.invoice_no): invoice.purchased_codes for invoice in log}
    for model in models:
        rows_of_model = [row for row in rows if row["model"] == model]
        assert all(len(set(row["stock_codes"])) == len(row["stock_codes"]) <= 100 for row in rows_of_model)
        assert all(row["probabilities"] == sorted(row["probabilities"], reverse=True) for row in rows_of_model)
        scored = [
            ndcg_at(row["stock_codes"], baskets[row["customer_id"], row["invoice_no"]], 10) for row in rows_of_model
        ]
        assert math.fsum(scored) / len(scored) == pytest.approx(models[model]["mean"]["ndcg@10"])
        assert all(0.0 < p < 1.0 for row in rows_of_model for p in row["probabilities"])


def test_both_moments_in_one_run_have_the_figures_of_two_runs(table: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    arguments = ["evaluate", "--data", str(table), *SPAN, "--models", "count_demand", "--json", str(figures)]
    found = {}
    for moment in ("visit", "emission", "both"):
        assert main([*arguments, "--moment", moment]) == ExitCode.OK
        found[moment] = json.loads(figures.read_text())["moments"]
    assert found["visit"] | found["emission"] == found["both"]
    assert found["both"]["visit"] != found["both"]["emission"]


def test_rankings_at_both_moments_are_those_of_two_runs(table: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "--data", str(table), *SPAN, "--models", "gp_topfreq,count_demand"]
    rows = {}
    for moment in ("visit", "emission", "both"):
        out = tmp_path / f"{moment}.parquet"
        assert main([*arguments, "--moment", moment, "--predictions-out", str(out)]) == ExitCode.OK
        rows[moment] = pq.read_table(out).to_pylist()
    assert {row["moment"] for row in rows["emission"]} == {"emission"}
    assert rows["visit"] + rows["emission"] == rows["both"]


def test_a_handful_of_invoices_is_warned_of_everywhere(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    span = ["--from", "2011-06-15", "--to", "2011-06-16"]
    arguments = ["evaluate", "--data", str(table), *span, "--models", "count_demand", "--json", str(figures)]
    assert main([*arguments, "--html", str(page)]) == ExitCode.OK
    warning = "These figures and intervals mean nothing: only "
    assert warning in capsys.readouterr().err
    assert warning in page.read_text()
    report = json.loads(figures.read_text())
    assert report["warning"].startswith(warning)
    assert report["invoices"] < 10


def test_help_lists_the_models_without_loading_one() -> None:
    code = (
        "import sys, stream.cli.main; stream.cli.main.main(['evaluate', '--help']); "
        "print('MODULES', *(m for m in sys.modules if m.startswith(('tensorflow', 'training.models', 'numpy'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    listing, _, modules = done.stdout.partition("MODULES")
    assert modules.strip() == ""
    for name, entry in MODEL_TABLE.items():
        assert re.search(rf" {name} +{re.escape(entry.about)}", listing)


def test_first_invoices_are_a_separate_group(table: Path, tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    arguments = ["evaluate", "--data", str(table), *SPAN, "--models", "gp_topfreq,tifu_knn", "--json", str(figures)]
    found = {}
    for name, options in {"without": [], "with": ["--first-invoices"]}.items():
        assert main([*arguments, "--moment", "both", "--html", str(page), *options]) == ExitCode.OK
        found[name] = json.loads(figures.read_text())["moments"]
    assert found["with"]["emission"] == found["without"]["emission"]
    before, after = (found[name]["visit"]["models"]["gp_topfreq"]["by_length"] for name in ("without", "with"))
    assert "0" not in before
    assert after["0"]["n"] > 0
    assert {group: figures["mean"] for group, figures in after.items() if group != "0"} == {
        group: figures["mean"] for group, figures in before.items()
    }
    assert "--first-invoices" in page.read_text()


def test_discover_ranks_no_item_that_the_customer_bought(table: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    arguments = ["evaluate", "--data", str(table), *SPAN, "--models", "count_demand", "--json", str(figures)]
    assert main([*arguments, "--task", "discover"]) == ExitCode.OK
    report = json.loads(figures.read_text())
    assert report["invoices"] > 0
    assert report["moments"]["visit"]["models"]["count_demand"]["mean"]["recall@20_repeat"] in (None, 0.0)


def test_the_same_command_writes_the_same_bytes(table: Path, tmp_path: Path) -> None:
    written = []
    for turn in ("one", "two"):
        files = [tmp_path / f"{turn}.{ending}" for ending in ("json", "html", "parquet")]
        options = [
            f"--{option}={path}" for option, path in zip(("json", "html", "predictions-out"), files, strict=True)
        ]
        arguments = ["--data", str(table), *SPAN, "--models", "ease,ease:calibrate=0,p_topfreq", *options]
        # In another process, which has another hash seed.
        subprocess.run([sys.executable, "-m", "stream", "evaluate", *arguments], check=True, timeout=120)
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--from", "2011-07-20", "--to", "2011-06-15"], ExitCode.USAGE, "does not come after"),
        (["--from", "soon", "--to", "2011-06-15"], ExitCode.USAGE, "'soon' is no date"),
        (["--from", "2001-01-01", "--to", "2001-02-01"], ExitCode.USAGE, "Nothing lies before 2001-01-01"),
        (["--from", "2031-01-01", "--to", "2031-02-01"], ExitCode.USAGE, "Nothing lies in or after 2031-01-01"),
        ([*SPAN, "--models", "gp_topfrq"], ExitCode.USAGE, "Did you mean gp_topfreq?"),
        ([*SPAN, "--json", "no/such/folder/f.json"], ExitCode.DATA, "There is no folder"),
        ([*SPAN, "--html", "."], ExitCode.USAGE, ". is a folder"),
        ([*SPAN, "--task", "guess"], ExitCode.USAGE, "guess"),
        ([*SPAN, "--models", "ease:lambda=1"], ExitCode.USAGE, "ease has no option 'lambda'"),
        (
            [*SPAN, "--moment", "emission", "--first-invoices"],
            ExitCode.USAGE,
            "Nobody has an emission before a first purchase",
        ),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], code: ExitCode, sentence: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = arguments if "--models" in arguments else [*arguments, "--models", "count_demand"]
    assert main(["evaluate", "--data", str(table), *options]) == code
    assert sentence in capsys.readouterr().err


def test_data_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *SPAN]) == ExitCode.USAGE
    assert "give --data PATH, or set NEXTBASKET_DATA" in capsys.readouterr().err
