"""The phantom cohort: three-dimensional chests whose truth is known because we drew it.

patient = draw_patient(7, disease="covid", site="a")
chest = render(patient, day=9)                    # Volume, lungs, lobes, lesions
never = render(patient, day=9, disease=False)     # the same scan of the same person, never ill
"""

from glasslung.data.phantom.chest import DEFAULT_SHAPE, Chest, render
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.patient import Patient, draw_patient
from glasslung.data.phantom.scanner import SITES, Site, scan_grid

__all__ = [
    "DEFAULT_SHAPE",
    "SITES",
    "Chest",
    "Grid",
    "Patient",
    "Site",
    "draw_patient",
    "render",
    "scan_grid",
]
