"""The report page: one HTML file that shows a result, without a network."""

from stm_keras.results.report.page import Report, report_of, report_of_maps

__all__ = ["Report", "report_of", "report_of_maps"]
