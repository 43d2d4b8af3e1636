"""Lesions from few labels: segmenters trained alike, scored on slices they never saw, beside the papers."""
