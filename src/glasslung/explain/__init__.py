"""Why a classifier said what it said, drawn on the scan, and measured."""
