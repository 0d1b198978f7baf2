"""How models are judged: spans, prequential runs, metrics, intervals, reports (docs/evaluation.md)."""
