"""De-identification of scans by DICOM's basic confidentiality profile, dates moved, keys kept apart.

deidentify(Places(source, out, keys), Options(), keep_flagged, tell)
        a folder -> a folder that passes its check
"""

from __future__ import annotations

from glasslung.data.deidentification.folder import Places, Result, deidentify
from glasslung.data.deidentification.headers import Options

__all__ = ["Options", "Places", "Result", "deidentify"]
