"""Whether a classifier stands another window: asked through many, measured, shown."""
