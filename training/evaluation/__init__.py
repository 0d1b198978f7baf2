"""Evaluation of models: spans, prequential runs, metrics, intervals, reports (docs/explanation/evaluation.md)."""
