"""COVID3D: diagnosis from whole scans, its score over serial scans, and prognosis from one scan or two."""
