"""Reading and writing scans: DICOM, NIfTI, NRRD, MHA, pictures, and a zip of any of these.

    read_scan(path)                    file, folder or zip -> Volume, by content and not by extension
    write_volume(volume, path)         Volume -> .nii.gz, .nii, .nrrd, .mha, or a folder (DICOM or PNG)
    write_mask(mask, volume, path)     a mask on the volume's own grid
    write_map(steps, volume, path, most) a map from 0 to 1, likewise
    read_mask(path, like)              a mask back, refused when it does not lie on that grid
Libraries do the parsing. Whatever is wrong with a file ends in a DataError of one line that names it.
"""

from __future__ import annotations

from glasslung.data.formats.dicom_writing import DicomLabel
from glasslung.data.formats.reading import read_mask, read_scan
from glasslung.data.formats.writing import write_map, write_mask, write_volume

__all__ = ["DicomLabel", "read_mask", "read_scan", "write_map", "write_mask", "write_volume"]
