"""Sales over time: revenue after returns by day, week, hour and weekday of the purchase, in the table's local time."""

from calendar import day_name
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from state.wording import count
from training.eda import charts
from training.eda.formatting import day, listed, money, share
from training.eda.sales import REVENUE, TIME, Sales
from training.report import HALF, Figure, Section, draw

WEEK = 7
HOURS = 24


def by_day(sales: Sales) -> pd.Series:
    """Revenue of each day from the first sale to the last, days without one included as 0."""
    days = sales.lines.groupby(sales.lines[TIME].dt.floor("D"))[REVENUE].sum()
    return days.reindex(pd.date_range(days.index.min(), days.index.max(), freq="D"), fill_value=0.0)


def by_week(days: pd.Series) -> tuple[pd.Series, npt.NDArray[np.bool_]]:
    """Revenue of each week by its Monday, and whether the days from first to last hold the whole week."""
    dates = pd.DatetimeIndex(days.index)
    monday = dates - pd.to_timedelta(dates.day_of_week.to_numpy(), unit="D")
    weeks = days.groupby(monday).agg(["sum", "size"])
    return weeks["sum"], (weeks["size"] == WEEK).to_numpy()


def by_hour(sales: Sales) -> pd.Series:
    """Revenue by hour of the day, 0 to 23."""
    return sales.lines.groupby(sales.lines[TIME].dt.hour)[REVENUE].sum().reindex(range(HOURS), fill_value=0.0)


def by_weekday(sales: Sales) -> pd.Series:
    """Revenue by day of the week, 0 for Monday to 6."""
    return sales.lines.groupby(sales.lines[TIME].dt.day_of_week)[REVENUE].sum().reindex(range(WEEK), fill_value=0.0)


def describe_days(days: pd.Series) -> str:
    """Describe revenue by day."""
    sold = days[days > 0]
    first, last = days.index[0], days.index[-1]
    best = f"the best was {day(_highest(days))} with a revenue of {money(days.max())} after returns"
    if len(days) == 1:
        return f"All sales are of one day, {day(first)}, with a revenue of {money(days.iloc[0])} after returns."
    return (
        f"From {day(first)} to {day(last)} there were sales on {len(sold):,} of {count(len(days), 'day')}; {best}, "
        f"{sold.max() / sold.median():.1f} times the median day with sales ({money(sold.median())})."
    )


def describe_weeks(weeks: pd.Series, whole: npt.NDArray[np.bool_]) -> str:
    """Describe revenue by week; only whole weeks are compared."""
    full = weeks[whole]
    if len(full) < 2:
        return f"The sales span {count(len(full), 'whole week')}, too few to compare."
    return (
        f"Of {count(len(full), 'whole week')} the one from Monday {day(_highest(full))} is the best with a revenue of "
        f"{money(full.max())} after returns, that from {day(_highest(-full))} the weakest with {money(full.min())}; "
        "the median week "
        f"brings {money(full.median())}."
    )


def describe_hours(hours: pd.Series) -> str:
    """Describe revenue by hour."""
    total = hours.sum()
    open_hours = hours[hours > 0]
    best = _highest(hours)
    return (
        f"The strongest hour is {best}:00 to {best + 1}:00 with {share(hours.max(), total)} of revenue after "
        "returns; all sales lie "
        f"between {int(open_hours.index[0])}:00 and {int(open_hours.index[-1]) + 1}:00."
    )


def describe_weekdays(weekdays: pd.Series) -> str:
    """Describe revenue by day of the week."""
    sentence = (
        f"{day_name[_highest(weekdays)]} brings most: {share(weekdays.max(), weekdays.sum())} of revenue after returns"
    )
    closed = [day_name[index] for index in weekdays.index[weekdays == 0]]
    if closed:
        return f"{sentence}; there are no sales on {listed(closed)}."
    return f"{sentence}; {day_name[_highest(-weekdays)]} least, {share(weekdays.min(), weekdays.sum())}."


def _highest(values: pd.Series) -> Any:
    """Index of the highest value, the first of equal ones."""
    return values.index[int(values.to_numpy().argmax())]


def times_section(sales: Sales) -> Section:
    """The section on sales over time."""
    days = by_day(sales)
    weeks, whole = by_week(days)
    weekdays = by_weekday(sales)
    blocks = []
    if len(days) > 1:
        picture = draw("Revenue by day, after returns", lambda figure: charts.daily(figure, days))
        blocks.append(
            Figure("sales-by-day", picture, "Line chart: revenue of each day after returns.", describe_days(days))
        )
    if len(weeks) > 1:
        picture = draw("Revenue by week, after returns", lambda figure: charts.weekly(figure, weeks, whole))
        sentence = describe_weeks(weeks, whole)
        blocks.append(Figure("sales-by-week", picture, "Bar chart: revenue of each week after returns.", sentence))
    text = "" if len(days) > 1 else describe_days(days)
    if bool((sales.lines[TIME] == sales.lines[TIME].dt.floor("D")).all()):
        text = f"{text} Every sale is dated at midnight, so there are no sales by hour.".strip()
    else:
        hours = by_hour(sales)
        picture = draw(
            "Revenue by hour of the day, after returns",
            lambda figure: charts.vertical_bars(
                figure, [str(hour) for hour in hours.index], list(hours), about="hour", emphasis=_highest(hours)
            ),
            size=HALF,
        )
        sentence = describe_hours(hours)
        blocks.append(
            Figure("sales-by-hour", picture, "Bar chart: revenue by hour of the day after returns.", sentence)
        )
    if len(days) > 1:
        picture = draw(
            "Revenue by day of the week, after returns",
            lambda figure: charts.vertical_bars(
                figure,
                [name[:3] for name in day_name],
                list(weekdays),
                labels=[share(value, weekdays.sum()) for value in weekdays],
                emphasis=_highest(weekdays),
            ),
            size=HALF,
        )
        sentence = describe_weekdays(weekdays)
        blocks.append(
            Figure("sales-by-weekday", picture, "Bar chart: revenue by day of the week after returns.", sentence)
        )
    return Section("Sales over time", text, blocks)
