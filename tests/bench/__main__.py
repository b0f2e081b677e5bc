"""The benches' command line.

uv run python -m tests.bench report [--only NAME …] [--quick] [--json FILE] [--from FILE] [--check]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from tests.bench.catalogue import BENCHES
from tests.bench.report import RESULTS, Results, chapters, drawn, measure, show, stale, write
from tests.rig.bot import PROJECT

ASIDE = PROJECT / "artifacts" / "bench"
"""Where a report goes that is not to be committed."""

NO_RESULTS = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What reading and drawing raises where JSON is of something else."""


def main(words: list[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = _parser()
    options = parser.parse_args(words)
    drawing = options.source is not None or options.check
    if drawing and (options.only or options.quick):
        parser.error("--from and --check measure nothing: they go with neither --only nor --quick")
    root: Path = options.into or (ASIDE if options.quick else PROJECT)
    kept: Path = options.json or root / RESULTS
    out = Console()
    if drawing:
        source: Path = options.source or kept
        try:
            results = Results.load(source)
            if not chapters(results):
                raise ValueError("no bench is in it")
            files = drawn(results)
        except (OSError, *NO_RESULTS) as why:
            parser.error(f"{source} holds no results: {type(why).__name__}: {why}")
    else:
        names = options.only or [bench.name for bench in BENCHES]
        chosen = [bench for bench in BENCHES if bench.name in names]
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
        try:
            results = measure(chosen, kept, quick=options.quick, out=Console(stderr=True))
        except KeyboardInterrupt:
            print("stopped; what was measured is kept, and nothing is drawn", file=sys.stderr)
            return 130
        files = drawn(results)
    if options.check:
        for name in stale(files, root):
            out.print(f"not as the results say: {name}")
        return int(bool(stale(files, root)))
    write(files, root)
    show(results, out)
    out.print(f"written into {root}", soft_wrap=True)
    return int(bool(results.failures))


def _parser() -> argparse.ArgumentParser:
    benches = "\n".join(f"  {bench.name:12}{bench.title}" for bench in BENCHES)
    epilog = (
        f"benches:\n{benches}\n\nOne alone, with options of its own: "
        "uv run python -m tests.bench.NAME [--help]"
    )
    parser = argparse.ArgumentParser(
        "python -m tests.bench",
        description="How fast the bot is, and against what.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    report = commands.add_parser(
        "report",
        help="run the benches, and draw one page with plots of what was measured",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [bench.name for bench in BENCHES]
    report.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="only these")
    report.add_argument("--quick", action="store_true", help="few rounds, to try it out")
    report.add_argument("--json", type=Path, metavar="FILE", help=f"keeps results ({RESULTS})")
    report.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="measure nothing: draw these results",
    )
    report.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="where page and plots go: the project; artifacts/bench if quick",
    )
    report.add_argument(
        "--check", action="store_true", help="measure nothing: is what is committed fresh?"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
