"""DICOM results: what a story found, as objects that a PACS keeps beside the scan.

    write_dicom_results(story_folder, sources, out)   Segmentation, structured report, map, report as PDF
    add_dicom(folder, paths)                          the same, into the story's own folder
    match_sources(story_folder, paths)                which scan of a story each path holds
    left_out(story_folder, sources)                   which scans have no results, and why

Patient and study are inherited from the source files, so these files name the patient, as the scan does.
Nothing else that glasslung writes does.
"""

from __future__ import annotations

from glasslung.report.dicom.results import add_dicom, left_out, match_sources, write_dicom_results

__all__ = ["add_dicom", "left_out", "match_sources", "write_dicom_results"]
