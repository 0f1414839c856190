"""Reports: what compliance takes out, each with a manifest of what it rests on."""

from brokerage.reports.catalogue import CATALOGUE
from brokerage.reports.report import (
    FORMATS,
    Report,
    ReportRefusedError,
    WrittenReport,
    write_report,
)

__all__ = ["CATALOGUE", "FORMATS", "Report", "ReportRefusedError", "WrittenReport", "write_report"]
