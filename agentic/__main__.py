"""`python -m agentic`."""

from agentic.cli import main

if __name__ == "__main__":
    main()
