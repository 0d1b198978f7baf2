"""Sentences about a list: why an item is not in it, what acted on it, when the customer is due."""

from state.domain.recommendation import NextPurchase
from state.wording import count
from stream.tools.customer_report import WhyNot


def explain(why_not: WhyNot) -> str:
    """Why an item is, or is not, in the list, as one sentence."""
    code, absence = why_not.stock_code, why_not.absence
    causes = " and ".join(describe_cause(cause.kind, cause.rule) for cause in absence.causes)
    ranked = "it is no candidate of the model" if absence.rank is None else f"the model ranks it {absence.rank}"
    chance = "" if absence.probability is None else f" with a probability of {absence.probability:.2%}"
    match absence.verdict:
        case "listed":
            return f"{code} is recommended, at position {absence.rank}{chance}."
        case "forbidden":
            return f"{code} is not recommended because of {causes}; {ranked}."
        case "capped":
            return f"{code} is not recommended because of {causes}: the list has enough of its group; {ranked}."
        case "made_room":
            return f"{code} made room for other items because of {causes}; {ranked}{chance}."
        case "below":
            return f"{code} is allowed; {ranked}{chance}, and the list has {count(why_not.length, 'item')}."
        case "no_candidate":
            sold = "" if why_not.sold else " It was never sold."
            return f"{code} is allowed, but {ranked}: nothing links the customer to it.{sold}"
        case _:
            return f"{code} is unknown here: it was never sold and is not in the catalogue."


def describe_cause(kind: str, rule: str) -> str:
    """What acted on a list, in words."""
    words = rule.replace("_", " ")
    return f"the catalogue ({words})" if kind == "catalogue" else f"the rule {rule} ({kind.replace('_', ' ')})"


def describe_next_purchase(next_purchase: NextPurchase) -> str:
    """The chances of a return, the dates at which they reach 10, 50 and 90 %, and why one of these dates is missing."""
    chances = ", ".join(f"{chance:.0%} within {days} days" for days, chance in next_purchase.within_days.items())
    dates = {
        "earliest": (10, next_purchase.earliest),
        "median": (50, next_purchase.median),
        "latest": (90, next_purchase.latest),
    }
    reached = [f"{chance}% on {date} ({name})" for name, (chance, date) in dates.items() if date is not None]
    missing = [name for name, (_, date) in dates.items() if date is None]
    sentences = [f"Next purchase: {chances}."]
    if reached:
        sentences.append(f"The chance reaches {_listed(reached)}.")
    if missing:
        longest, chance = max(next_purchase.within_days.items(), key=lambda horizon: int(horizon[0]))
        names = _listed([f"no {name}" for name in missing])
        sentences.append(
            f"There is {names} date: the chance stays below {dates[missing[0]][0]}% within {longest} days, the longest "
            f"time that the model predicts ({chance:.0%})."
        )
    return "\n".join([sentences[0], " ".join(sentences[1:])])


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
