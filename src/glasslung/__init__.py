"""glasslung: an open workbench for pneumonia on chest CT over time. Research use, not a medical device."""

from importlib.metadata import version

__version__ = version("glasslung")
