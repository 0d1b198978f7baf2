"""Exports of shop systems, by the names of their columns."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.exports import Histories, histories, notes
from tests.unit.data.workbook import write_workbook
from training.data.errors import MissingColumns
from training.data.tables.invoice_table import load

SHOPIFY = """\
Name,Email,Financial Status,Paid at,Fulfillment Status,Currency,Total,Created at,Lineitem quantity,Lineitem name,\
Lineitem price,Lineitem sku,Cancelled at,Refunded Amount,Id
#1001,ann@x.org,paid,2021-03-14 10:00:00 +0100,fulfilled,EUR,10.00,2021-03-14 10:00:00 +0100,2,Mug,2.50,MUG,,0.00,71
#1001,ann@x.org,,,,,,2021-03-14 10:00:00 +0100,1,Bowl,5.00,BOWL,,,
#1002,ben@x.org,refunded,2021-03-16 10:00:00 +0100,fulfilled,EUR,7.50,2021-03-16 10:00:00 +0100,2,Mug,2.50,MUG,,7.50,72
#1002,ben@x.org,,,,,,2021-03-16 10:00:00 +0100,1,Plate,2.50,PLATE,,,
#1003,ben@x.org,paid,2021-03-17 10:00:00 +0100,,EUR,7.50,2021-03-17 10:00:00 +0100,3,Plate,2.50,PLATE,,0.00,73
#1004,ben@x.org,paid,2021-03-18 10:00:00 +0100,,EUR,9.00,2021-03-18 10:00:00 +0100,4,Plate,2.25,PLATE,\
2021-03-19 09:00:00 +0100,0.00,74
"""
WOOCOMMERCE = """\
Order ID,Order Date,Order Status,Customer User ID,Email (Billing),SKU,Item Name,Quantity,Item Cost
1,2021-03-14 10:00,wc-completed,7,ann@x.org,MUG,Mug,2,2.50
2,2021-03-15 10:00,wc-cancelled,7,ann@x.org,MUG,Mug,9,2.50
3,2021-03-16 10:00,wc-processing,8,ben@x.org,BOWL,Bowl,1,5.00
"""
WOOCOMMERCE_WITHOUT_IDS = """\
Order Number,Order Status,Order Date,Email (Billing),Item #,Item Name,SKU,Quantity (- Refund),Item Cost
1,Completed,2021-03-14 10:00,ann@x.org,1,Mug,MUG,2,2.50
1,Completed,2021-03-14 10:00,ann@x.org,2,Bowl,BOWL,1,5.00
"""
MAGENTO = """\
increment_id,created_at,customer_id,customer_email,sku,name,qty_ordered,price,status
000000001,"Mar 14, 2021, 10:00:00 AM",7,ann@x.org,MUG,Mug,2.0000,2.5000,complete
000000002,"Mar 15, 2021, 10:00:00 AM",7,ann@x.org,MUG,Mug,9.0000,2.5000,canceled
"""
SQUARE = """\
Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Gross Sales,Transaction ID,Event Type,Customer ID
03/14/2021,10:00:00,Eastern Time,None,Mug,2.0,Regular,MUG,$5.00,tx1,Payment,C1
03/20/2021,09:00:00,Eastern Time,None,Mug,5.0,Regular,MUG,$12.50,tx2,Payment,C1
03/21/2021,09:00:00,Eastern Time,None,Mug,-1.0,Regular,MUG,-$2.50,tx3,Refund,C1
"""
RETAILROCKET = """\
timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433221332200,257597,addtocart,355908,
1433221333117,257597,transaction,355908,4000
1433222276276,158090,transaction,5206,4001
"""
REES46 = """\
event_time,event_type,product_id,category_code,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,44600062,,35.79,541312140,72d76fde
2019-10-01 00:02:00 UTC,purchase,1004856,electronics.smartphone,130.76,543272936,8187d148
"""
OLIST = """\
order_id,customer_id,order_status,order_purchase_timestamp,order_item_id,product_id,price
a1,c1,delivered,2017-10-02 10:56:33,1,p1,29.99
a1,c1,delivered,2017-10-02 10:56:33,2,p1,29.99
a2,c1,canceled,2017-10-05 10:56:33,1,p1,29.99
"""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (SHOPIFY, {"ann@x.org": {"#1001": {"MUG": 2, "BOWL": 1}}, "ben@x.org": {"#1003": {"PLATE": 3}}}),
        (WOOCOMMERCE, {"7": {"1": {"MUG": 2}}, "8": {"3": {"BOWL": 1}}}),
        (WOOCOMMERCE_WITHOUT_IDS, {"ann@x.org": {"1": {"MUG": 2, "BOWL": 1}}}),
        (MAGENTO, {"7": {"000000001": {"MUG": 2}}}),
        (SQUARE, {"C1": {"tx1": {"MUG": 2}, "tx2": {"MUG": 4}}}),
        (RETAILROCKET, {"257597": {"4000": {"355908": 1}}, "158090": {"4001": {"5206": 1}}}),
        (REES46, {"543272936": {"543272936 2019-10-01": {"1004856": 1}}}),
        (OLIST, {"c1": {"a1": {"p1": 2}}}),
    ],
    ids=["shopify", "woocommerce", "woocommerce-without-ids", "magento", "square", "retailrocket", "rees46", "olist"],
)
def test_an_export_is_read(text: str, want: Histories, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)

    assert histories(tmp_path / "t.csv") == want


def test_shopify_without_codes_names_items_by_their_titles(tmp_path: Path) -> None:
    without = "\n".join(
        line.replace(",MUG,", ",,").replace(",BOWL,", ",,").replace(",PLATE,", ",,") for line in SHOPIFY.splitlines()
    )
    (tmp_path / "t.csv").write_text(without + "\n")

    assert histories(tmp_path / "t.csv")["ann@x.org"] == {"#1001": {"Mug": 2, "Bowl": 1}}
    assert "column Lineitem sku: it is empty: the description names the item" in notes(tmp_path / "t.csv")


def test_a_time_of_day_in_its_own_column_belongs_to_the_date(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(SQUARE)

    dates = load(tmp_path / "t.csv").frame["invoice_date"]

    assert [f"{date:%Y-%m-%d %H:%M}" for date in dates] == ["2021-03-14 10:00", "2021-03-20 09:00", "2021-03-21 09:00"]
    assert "column Time: it is the time of day of Date" in notes(tmp_path / "t.csv")


def test_orders_without_dates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "order_id,user_id,order_number,order_dow,order_hour_of_day,days_since_prior_order,product_id\n1,7,1,2,8,,196\n"
    )

    with pytest.raises(MissingColumns, match="lacks invoice_date"):
        load(tmp_path / "t.csv")


def test_a_name_is_no_invoice_number_and_no_item_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user_id,date,name\n7,2021-03-14,Ann\n")

    with pytest.raises(MissingColumns, match="lacks stock_code"):
        load(tmp_path / "t.csv")


def test_a_name_among_stock_codes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user_id,date,sku,name\n7,2021-03-14,MUG,Ann\n")

    assert load(tmp_path / "t.csv").frame["description"].isna().all()
    assert "column name: not read" in notes(tmp_path / "t.csv")


@pytest.mark.parametrize("date", ["1300096800", "2011-03-14 10:30", "14.03.2011 10.30"])
def test_a_time_of_day_is_joined_to_days_only(date: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"user_id,date,time,sku\n7,{date},11:45,MUG\n")

    frame = load(tmp_path / "t.csv").frame

    assert f"{frame['invoice_date'].iloc[0]:%Y-%m-%d}" == "2011-03-14"
    assert f"{frame['invoice_date'].iloc[0]:%H:%M}" != "11:45"


def test_a_time_of_day_beside_date_cells_of_a_workbook(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["Date", "Time", "SKU", "Customer ID"], [pd.Timestamp("2011-03-14"), "10:30", "MUG", "7"]]
    write_workbook(tmp_path / "t.xlsx", {"sales": rows})

    assert f"{load(tmp_path / 't.xlsx').frame['invoice_date'].iloc[0]:%Y-%m-%d %H:%M}" == "2011-03-14 10:30"


def test_times_of_day_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": [pd.Timestamp("2011-03-14")], "time": ["10:30"], "sku": ["MUG"], "user_id": ["7"]})
    frame.to_parquet(tmp_path / "t.parquet")

    assert f"{load(tmp_path / 't.parquet').frame['invoice_date'].iloc[0]:%Y-%m-%d %H:%M}" == "2011-03-14 10:30"
