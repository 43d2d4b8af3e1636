"""The main job: the scans of one patient go in, one story comes out.

patient     all scans: admitted, put in order of time, told
masks       one scan: who draws its lungs and lesions, and how far each is to be trusted
examining   one scan: masks, measures and pictures, from voxels to findings
segmenting  masks and maps alone, of a scan or of many slices
"""

from glasslung.analyze.masks import MaskMaking
from glasslung.analyze.patient import analyze
from glasslung.analyze.settings import ForecastSettings, PrognosisSettings, Settings

__all__ = ["ForecastSettings", "MaskMaking", "PrognosisSettings", "Settings", "analyze"]
