"""What a person reads: one page drawn from the story and its previews, and nothing else."""
