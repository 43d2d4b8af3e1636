"""The phantom cohort: three-dimensional chests whose truth is known because we drew it.

patient = draw_patient(7, disease="covid", site="a")
chest = render(patient, day=9)                    # volume, lungs, lobes, lesions
never = render(patient, day=9, disease=False)     # the same scan of the same person, never ill
cohort = draw_cohort(40, seed=1)                  # patients, their outcomes, the best reachable C-index
write_cohort(cohort, Path("phantoms"))            # scans, masks, cohort.csv, truth.json
slices(cohort.patients, days=[0, 4, 8])           # 64 x 64 lung slices, fast
"""

from glasslung.data.phantom.chest import DEFAULT_SHAPE, Chest, render
from glasslung.data.phantom.cohort import Ceiling, PhantomCohort, counterfactual, draw_cohort
from glasslung.data.phantom.disease import DISEASES, Course
from glasslung.data.phantom.folder import DEFAULT_DAYS, write_cohort, write_patient
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.lung_slices import Slices, slice_of, slices
from glasslung.data.phantom.patient import Patient, draw_patient
from glasslung.data.phantom.scanner import SITES, Site, scan_grid

__all__ = [
    "DEFAULT_DAYS",
    "DEFAULT_SHAPE",
    "DISEASES",
    "SITES",
    "Ceiling",
    "Chest",
    "Course",
    "Grid",
    "Patient",
    "PhantomCohort",
    "Site",
    "Slices",
    "counterfactual",
    "draw_cohort",
    "draw_patient",
    "render",
    "scan_grid",
    "slice_of",
    "slices",
    "write_cohort",
    "write_patient",
]
