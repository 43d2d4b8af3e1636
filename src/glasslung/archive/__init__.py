"""A hospital's archive: every patient of a cohort analysed, on one machine or many, and told in one table.

cases     a cohort's rows as cases: one patient, all scans
settings  what decides the results, and what a worker may use up
rows      a patient's story as rows of the table, one per scan
worker    the process that analyses one case after the other
keeper    starts a worker, watches its memory and time, tells what came of a case
crew      several keepers on this machine
cluster   the same on the machines of a Ray cluster
ledger    what became of each case; it survives any kill
tables    the ledger as CSV and Parquet, with manifest and summary
run       all of it, in order
"""
