"""One published system each, told top to bottom: the only place where everything meets."""
