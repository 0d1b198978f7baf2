"""Exploration of a table before anything is fitted to it: what it holds, what is wrong with it, how customers buy."""

from training.eda.report import explore

__all__ = ["explore"]
