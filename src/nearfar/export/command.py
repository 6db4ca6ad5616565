"""The commands ``nearfar export`` and ``nearfar score``; heavy imports wait until one runs."""

import argparse

from nearfar.errors import NearfarError


def add_export(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar export``."""
    parser = commands.add_parser("export", help="write a system of a run as one file, for nearfar score")
    parser.add_argument("folder", metavar="RESULTS/SYSTEM", help="with model.nearfar, which snakemake makes")
    parser.add_argument("--out", required=True, metavar="FILE.nearfar", help="the file")
    parser.add_argument("--machine", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.set_defaults(run=export)


def export(arguments: argparse.Namespace) -> None:
    """Write the file and say what it holds. Raises NearfarError as nearfar.export.system.select does."""
    import os

    from nearfar.export.system import select

    machines = select(arguments.folder, arguments.out, arguments.machine)
    print(f"{arguments.out}: {', '.join(machines)}; {os.path.getsize(arguments.out) / 1e6:.1f} MB")


def add_score(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar score``."""
    parser = commands.add_parser(
        "score",
        help="score recordings with a file of nearfar export",
        epilog="Exit status: 0; 1 with --alarm where a clip is an anomaly; 2 where something could not be scored.",
    )
    parser.add_argument("model", metavar="FILE.nearfar", help="of nearfar export")
    parser.add_argument("files", nargs="*", metavar="FILE", help="recording, folder, or - for a list on stdin")
    parser.add_argument("--machine", metavar="NAME", help="whose recordings; by default that of the folder's name")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="print a JSON object a clip")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="print csv")
    parser.add_argument("--alarm", action="store_true", help="exit with 1 where a clip is an anomaly")
    parser.add_argument("--watch", metavar="DIR", help="score what arrives there, until it is stopped")
    parser.add_argument("--out", metavar="FILE.csv", help="append the results there, and say where normal has moved")
    parser.set_defaults(run=score, form="text")


def score(arguments: argparse.Namespace) -> int:
    """Score recordings, print a line each as it is done, and return the exit status.

    Raises NearfarError for a file that is none of nearfar export, and in the end where a clip could not be scored.
    """
    if bool(arguments.watch) == bool(arguments.files):
        raise NearfarError("score: give recordings to score, or a folder to watch with --watch")
    if arguments.watch and not arguments.out:
        raise NearfarError("--watch: give the csv that results go to with --out FILE.csv")
    from nearfar.export.scoring import print_results, results

    try:
        told = print_results(results(arguments), arguments.form)
    except KeyboardInterrupt:  # how a watcher is stopped
        return 130
    if arguments.alarm and told["anomaly"]:
        return 1
    if told["not scored"]:
        raise NearfarError(f"{told['not scored']} of {told.total()} clips could not be scored; see their lines")
    return 0
