"""Figures and how sure they are: pure functions of arrays, each with its definition and its source."""
