"""Reports: one self-contained HTML page of sections, figures and tables, and the style its figures are drawn in."""

from training.report.page import Figure, Page, Section, Table, render, save_pictures
from training.report.style import HALF, STRIP, WIDE, draw

__all__ = ["HALF", "STRIP", "WIDE", "Figure", "Page", "Section", "Table", "draw", "render", "save_pictures"]
