"""`python -m glasslung` is the same as `glasslung`."""

from glasslung.cli import main

if __name__ == "__main__":
    main()
