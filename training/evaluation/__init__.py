"""How models are judged: spans, prequential runs, metrics, intervals, reports (docs/explanation/evaluation.md)."""
