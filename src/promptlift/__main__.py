"""`python -m promptlift`."""

from promptlift.cli import main

if __name__ == "__main__":
    main()
