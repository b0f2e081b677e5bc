"""The command line of a module that writes a generated file: it writes, or only checks."""

import argparse
from collections.abc import Sequence


def only_checks(module: str, what: str, arguments: Sequence[str]) -> bool:
    """Read the options; True for `--check`.

    Args:
        module: as it is run.
        what: is written.
    """
    parser = argparse.ArgumentParser(f"python -P -m {module}", description=f"Writes {what}.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    return bool(parser.parse_args(arguments).check)
