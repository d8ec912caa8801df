"""The report: one HTML page that needs nothing else, and the model card, both made from the tables they are given."""

from iaca.evaluation.report.data import FIGURES, ReportData
from iaca.evaluation.report.page import render_report

__all__ = ["FIGURES", "ReportData", "render_report"]
