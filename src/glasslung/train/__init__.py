"""The training ground: one loop for any number of players, and runs that are folders of plain files."""
