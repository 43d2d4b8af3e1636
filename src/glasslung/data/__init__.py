"""Scans, masks and cohorts: read, checked, outlined, made up, written. Knows no model and no measure."""
