"""Tables that cannot be used end in one sentence, in every command that reads a table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stream.cli.exit_codes import ExitCode
from stream.cli.main import main

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
CASE_STUDY = "transaction_id,cust_id,tran_date,prod_subcat_code,prod_cat_code,Qty,Rate,Tax,total_amt,Store_type"
SPAN = ["--from", "2011-06-01", "--to", "2011-08-01"]

COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "train": lambda path: ["train", "--model", "count_demand", "--data", str(path)],
    "evaluate": lambda path: ["evaluate", "--models", "count_demand", "--data", str(path), *SPAN],
    "replay": lambda path: ["replay", str(path)],
    "eda": lambda path: ["eda", "--data", str(path), "--output", str(path.parent / "eda.html")],
}


def line(number: int, customer: object, *, quantity: int = 1, date: str | None = None) -> str:
    """An invoice of one line; the numbers run through the first half of 2011."""
    date = date or f"2011-{1 + number % 6:02}-{10 + number % 9} 10:00"
    return f"{number},22613,MUG,{quantity},{date},1.5,{customer},France"


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def error_of(arguments: list[str], code: ExitCode, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence that a command ends with, and which contains what to do."""
    assert main(arguments) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("nextbasket: ")
    assert last.endswith(".")
    return last


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "There is nothing at"),
        ("table.pdf", b"%PDF-1.7", "has another format than"),
        ("table.csv", b"PK\x03\x04\x00\x00", "is no text, so no CSV file"),
        ("table.csv", b"", "is empty"),
        ("table.csv", HEADER.encode() + b"\n", "holds no rows below its column names"),
        ("table.csv", b"InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice\n1,2,3,4,5\n", "lacks customer_id: found"),
        ("table.csv", HEADER.encode() + b'\n1,"2,3\n', "cannot be read as a table"),
        ("table.csv", b"user_id,date,item\n1,03-04-2015,milk\n", "whether day or month comes first"),
        ("table.csv", b"user_id,date,item\n1,13-04-2015,milk\n1,04-13-2015,milk\n", "where the month does"),
        ("table.csv.gz", b"no archive", "cannot be read as a table"),
        ("table.parquet", b"PAR1 and then nothing", "cannot be read as a table"),
        ("table.xlsx", b"PK\x03\x04 broken off", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_invoice_table(
    command: str, name: str, content: bytes | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    assert sentence in error_of(COMMANDS[command](path), ExitCode.DATA, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_without_a_table(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no table" in error_of(COMMANDS[command](tmp_path), ExitCode.DATA, capsys)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("transactions", "customers", "sentence"),
    [
        ("transaction_id,cust_id", "customer_Id,DOB,Gender,city_code", "lacks tran_date"),
        (CASE_STUDY, "customer_Id,DOB,Gender,city_code", "holds no rows below its column names"),
        (CASE_STUDY, "", "Customer.csv is empty"),
        (CASE_STUDY, "customer_Id,DOB,Gender,city_code\n7,,M,4\n7.0,,F,4", "customer_Id 7 is there twice"),
        (CASE_STUDY, "customer_Id,DOB,Gender,city_code\ninf,,M,4", "line 2 lacks customer_Id"),
        (CASE_STUDY, 'customer_Id,DOB,Gender,city_code\n"7,,M,4', "Customer.csv cannot be read as a table"),
    ],
)
def test_a_broken_case_study(
    command: str, transactions: str, customers: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "Transactions.csv", [], transactions)
    write(tmp_path / "Customer.csv", [], customers)
    write(tmp_path / "prod_cat_info.csv", [], "prod_cat_code,prod_cat,prod_sub_cat_code,prod_subcat")

    assert sentence in error_of(COMMANDS[command](tmp_path), ExitCode.DATA, capsys)


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([line(n, 17) for n in range(40)], "All 40 purchases are of one customer (17)"),
        ([line(n, n) for n in range(40)], "None of the 40 customers bought twice"),
        ([line(n, "") for n in range(40)], "“customer given” left out 40 of 40 rows"),
        (
            [line(n, n, date="0001-01-01") for n in range(40)],
            "“dated, and not ahead of the clock” left out 40 of 40 rows",
        ),
        ([line(n, n % 9, quantity=-1) for n in range(40)], "all 40 lines that are left are returns"),
    ],
)
def test_a_table_without_a_next_basket(
    command: str, lines: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "table.csv", lines)

    assert sentence in error_of(COMMANDS[command](path), ExitCode.DATA, capsys)


def test_too_little_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "table.csv", [line(n, n % 2) for n in range(6)])

    assert "at least 10 are needed to evaluate a model" in error_of(COMMANDS["train"](path), ExitCode.DATA, capsys)


def test_a_span_without_customers_who_bought_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(n, n % 2, date="2011-05-01 10:00") for n in range(6)] + [line(9, 99, date="2011-06-20 10:00")]
    path = write(tmp_path / "table.csv", lines)

    assert "had bought before" in error_of(COMMANDS["evaluate"](path), ExitCode.DATA, capsys)


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--from", "2011-08-01", "--to", "2011-06-01"], ExitCode.USAGE, "--to 2011-06-01 does not come after --from"),
        (["--from", "2021-06-01"], ExitCode.DATA, "its rows run from 2011-01-10 to 2011-06-18. Give other dates."),
        (["--to", "2001-06-01"], ExitCode.DATA, "lies in the span"),
        (["--from", "soon"], ExitCode.USAGE, "'soon' is no date"),
    ],
)
def test_a_span_without_rows_to_replay(
    options: list[str], code: ExitCode, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "table.csv", [line(n, n % 9) for n in range(18)])

    assert sentence in error_of(["replay", str(path), *options], code, capsys)


def test_how_a_table_is_read_is_printed_before_a_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "table.csv", [line(1, 1, date="0001-01-01")])

    assert main(["replay", str(path), *SPAN]) == ExitCode.DATA
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == "How this table was read: dialect uci, zone UTC."
    assert second.startswith("- column InvoiceDate: dates before 1970-01-02")


def test_rows_without_dates_to_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "table.csv", [line(1, 1, date="0001-01-01")])

    assert "its rows have no date" in error_of(["replay", str(path), *SPAN], ExitCode.DATA, capsys)


@pytest.mark.parametrize("end", ["2011-08-01", "2011-06-01"])
def test_an_empty_span_to_evaluate(end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "table.csv", [line(n, n % 9) for n in range(18)])
    arguments = ["evaluate", "--data", str(path), "--models", "count_demand", "--from", "2011-08-01", "--to", end]

    assert "does not come after" in error_of(arguments, ExitCode.USAGE, capsys)


def test_assumptions_about_a_table_with_other_columns_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [f"{1 + n % 28:02}-{1 + n % 7:02}-2011" for n in range(400)]
    lines = [f"{n % 23},{date},{('milk', 'bread', 'tea')[n % 3]}" for n, date in enumerate(days)]
    path = write(tmp_path / "groceries.csv", lines, "Member_number,Date,itemDescription")

    assert main(COMMANDS["evaluate"](path)) == ExitCode.OK
    out = capsys.readouterr().out
    assert "How this table was read: dialect plain, zone UTC." in out
    assert "- price: there is none: it is taken as 1 in every row. Otherwise: name a column unit_price." in out
    assert "- column Date: dates are read day first" in out
    assert "count_demand" in out
