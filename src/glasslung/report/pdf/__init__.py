"""The report on paper: two to four pages of A4 for a desk, a file of a PACS, or a printer."""

from __future__ import annotations

from glasslung.report.pdf.story import pdf_of_story, write_pdf

__all__ = ["pdf_of_story", "write_pdf"]
