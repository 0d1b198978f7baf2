"""Exploration of a table before anything is fitted to it: what it holds, what is wrong with it, how customers buy."""

from training.eda.report import build_report

__all__ = ["build_report"]
