"""The report of an evaluation run: one Markdown file, and one page that needs nothing but itself."""

from promptlift.evaluation.report.page import write_report

__all__ = ["write_report"]
