"""COVID-19 or not, and why: a study told top to bottom."""
