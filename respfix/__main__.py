"""`respfix` and `python -m respfix`: the command line, except what can be said before the rest of it is imported."""

from __future__ import annotations

import sys

from respfix import __version__


def main() -> int:
    """Do what the command line says; the exit code."""
    if sys.argv[1:] == ["--version"]:  # scripts ask for it often, and the parser knows all defects and settings
        print(f"respfix {__version__}")
        return 0

    from respfix import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
