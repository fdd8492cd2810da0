"""``python -m snnquant``."""

from snnquant.cli.main import main

if __name__ == "__main__":
    main()
