"""glasslung: an open workbench for pneumonia on chest CT over time. Research use, not a medical device."""

__version__ = "0.1.0"
