"""From run folders to tables, figures and one self-contained page."""

from agentic.report.page import save_figures, write_report

__all__ = ["save_figures", "write_report"]
