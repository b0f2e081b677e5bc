"""Run as `python -m surface`."""

from surface.cli import main

main()
