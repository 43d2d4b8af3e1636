"""Who becomes critically ill, from one slice of lungs: what the picture tells beside age and sex."""
