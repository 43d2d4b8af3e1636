"""What a cohort of slices cannot teach, whatever is trained on it: measured before anything is."""
