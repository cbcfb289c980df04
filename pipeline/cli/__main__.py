"""Run the command line: python -m pipeline.cli."""

from pipeline.cli.main import main

if __name__ == "__main__":
    main()
