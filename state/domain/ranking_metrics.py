"""How good one ranking is: hit, recall and NDCG at k, for the evaluation and for the scores of live recommendations.

A ranking is a sequence of distinct stock codes, best first, of the whole catalogue: nothing is sampled. A basket is the
set of distinct stock codes that were bought. The mean over invoices is taken by the caller, never here.
"""

import math
from collections.abc import Sequence, Set


def hit_at(ranking: Sequence[str], basket: Set[str], k: int) -> float:
    """1 when any of the first ``k`` items was bought, else 0.

    hit@k = [|top_k ∩ basket| > 0]. An empty ranking or basket gives 0.
    """
    return float(any(code in basket for code in ranking[:k]))


def recall_at(ranking: Sequence[str], basket: Set[str], k: int) -> float:
    """Share of the bought items that are among the first ``k``.

    recall@k = |top_k ∩ basket| / |basket|: over all that was bought, so with more than ``k`` items it cannot reach 1.
    For the recall of the repeat or the new items, pass these alone; the other items of the ranking keep their ranks.
    NaN for an empty basket, so that the caller can leave such invoices out of the mean.
    """
    if not basket:
        return float("nan")
    return sum(code in basket for code in ranking[:k]) / len(basket)


def ndcg_at(ranking: Sequence[str], basket: Set[str], k: int) -> float:
    """Normalised discounted cumulative gain with binary relevance.

    DCG@k = Σ over ranks r = 1…k of [item r bought] / log2(r + 1); NDCG@k = DCG@k / the DCG of a perfect ranking, which
    puts min(k, |basket|) bought items first. NaN for an empty basket. Source: Järvelin and Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", ACM TOIS 20 (2002).
    """
    if not basket:
        return float("nan")
    gain = sum(1.0 / math.log2(index + 2) for index, code in enumerate(ranking[:k]) if code in basket)
    ideal = sum(1.0 / math.log2(index + 2) for index in range(min(k, len(basket))))
    return gain / ideal
