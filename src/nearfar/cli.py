"""The command ``nearfar``: what it offers to someone who has clips and no workflow."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from nearfar.errors import NearfarError
from nearfar.export.command import add_export, add_score


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 or the command's, or 2 after one line on stderr to mend.

    Where nobody reads stdout any more, as after ``| head``, it ends without a word, as if killed by SIGPIPE.
    """
    try:
        arguments = _parsed(argv)
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except NearfarError as error:
        print(f"nearfar: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    finally:
        _forget_unread()


def _parsed(argv):
    """Return the arguments of the command line, its command's function among them."""
    parser = argparse.ArgumentParser(prog="nearfar", description="Anomalous sound detection, near and far.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    arguments, late = parser.parse_known_args(argv)
    if late and (not hasattr(arguments, "files") or any(word.startswith("--") for word in late)):
        parser.error(f"unrecognized arguments: {' '.join(late)}")
    if late:
        arguments.files += late  # files after an option, which argparse loses where it has met none before
    return arguments


def _forget_unread():
    """Drop what stdout still holds where nobody reads it: Python would complain of it at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_embed(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar embed``."""
    parser = commands.add_parser("embed", help="write the embeddings of clips by a backbone to an npz file")
    parser.add_argument("files", nargs="+", metavar="FILE", help="16 kHz wav file; mono is near only")
    parser.add_argument(
        "--backbone",
        required=True,
        help="folder with config.json and model.safetensors, checkpoint (.pt), or hub name",
    )
    parser.add_argument("--revision", help="commit of a hub name")
    parser.add_argument("--file", help="checkpoint (.pt) in that folder or hub repository")
    parser.add_argument("--sha256", help="of model.safetensors or the checkpoint, to be verified")
    parser.add_argument("--channel", choices=["near", "far", "residual"], default="near")
    parser.add_argument("--tokens", action="store_true", help="write the tokens too; clips must be equally long")
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="embedding (clips, 2D), file, tokens")
    parser.set_defaults(run=embed)


def embed(arguments: argparse.Namespace) -> None:
    """Write ``embedding`` (clips, 2D), ``file`` and, on demand, ``tokens`` (clips, 1 + patches, D) of the clips.

    Raises NearfarError for what cannot be read, and for tokens of clips that are not equally long.
    """
    import zipfile
    from pathlib import Path

    import numpy as np

    if Path(arguments.out).is_dir():
        raise NearfarError(f"{arguments.out}: is a folder; name a file in it, such as {arguments.out}/embedding.npz")
    from nearfar.backbones import source as backbone
    from nearfar.backbones.base import load_backbone
    from nearfar.backbones.embed import channel_waves, token_batches
    from nearfar.data.audio import probe
    from nearfar.data.signals import channels_of
    from nearfar.jobs.files import replacing
    from nearfar.jobs.progress import bar

    samples = [probe(file, channels_of([arguments.channel])) for file in arguments.files]
    if arguments.tokens and len(set(samples)) > 1:
        odd = next(i for i, length in enumerate(samples) if length != samples[0])
        raise NearfarError(
            f"{arguments.files[odd]}: {samples[odd]} samples, the first clip has {samples[0]}; leave out --tokens"
        )
    model = load_backbone(backbone.resolve(arguments.backbone, arguments.revision, arguments.sha256, arguments.file))
    vectors, tokens = [], []
    with bar(None, "embed", total=len(arguments.files)) as done:
        for _, frames, states in token_batches(model, channel_waves(arguments.files, [arguments.channel])):
            done.update(len(states))
            vectors.append(model.pool(states, frames).numpy())
            tokens.extend([states.numpy()] if arguments.tokens else [])
    arrays = {"embedding": np.concatenate(vectors), "file": [Path(file).name for file in arguments.files]}
    if tokens:
        arrays["tokens"] = np.concatenate(tokens)
    with replacing(arguments.out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():  # np.savez cannot name an array "file"
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar evaluate``."""
    parser = commands.add_parser("evaluate", help="print the table of Ω of a folder of score files")
    parser.add_argument("folder", metavar="DIR", help="with anomaly_score_<machine>_section_00_test.csv files")
    parser.add_argument("--truth", metavar="DIR", help="with <machine>.csv files of file,label,domain rows")
    parser.add_argument("--out", metavar="FILE.csv", help="write the table there too")
    parser.set_defaults(run=evaluate)


def evaluate(arguments: argparse.Namespace) -> None:
    """Print the table of a folder of score files. Raises NearfarError where scores and truth do not match."""
    from nearfar.jobs.files import write_text
    from nearfar.systems.score_folder import evaluate_folder
    from nearfar.systems.tables import readable

    table = evaluate_folder(arguments.folder, arguments.truth)
    print(readable(table, arguments.folder))
    if arguments.out:
        write_text(arguments.out, table)


def add_compare(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar compare``."""
    parser = commands.add_parser("compare", help="print what differs between folders of score files, or two of results")
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="DIR",
        help="with anomaly_score_<machine>_section_00_test.csv files, or the results of a run",
    )
    parser.add_argument("--truth", metavar="DIR", help="with <machine>.csv files of file,label,domain rows")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap's draws")
    parser.add_argument("--out", metavar="FILE.md", help="write the page there too")
    parser.set_defaults(run=compare)


def compare(arguments: argparse.Namespace) -> None:
    """Print the comparison of folders of score files or of results. Raises NearfarError where they do not match."""
    from nearfar.comparison.compare import compare_folders
    from nearfar.comparison.results import compare_results, is_results
    from nearfar.jobs.files import write_text

    compared = compare_results if any(map(is_results, arguments.folders)) else compare_folders
    page = compared(arguments.folders, arguments.truth, seed=arguments.seed)
    print(page, end="")
    if arguments.out:
        write_text(arguments.out, page)


def add_table(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar table``."""
    parser = commands.add_parser("table", help="print a result for reading, of a long table the first rows")
    parser.add_argument("file", metavar="FILE", help="csv or Markdown")
    parser.set_defaults(run=table)


def table(arguments: argparse.Namespace) -> None:
    """Print the table in a file. Raises NearfarError where there is no such file, and as ``printed``."""
    from pathlib import Path

    from nearfar.systems.results import printed

    if not Path(arguments.file).is_file():
        raise NearfarError(f"{arguments.file}: no such file; make it with snakemake --cores 2 {arguments.file}")
    print(printed(arguments.file))


def add_verify(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar verify``."""
    parser = commands.add_parser("verify", help="print what a data set holds, and what of it is not as expected")
    parser.add_argument("folder", metavar="DIR", help="data set in the challenge's layout")
    parser.add_argument("--configfile", metavar="FILE", help="says under data.sets what to expect")
    parser.set_defaults(run=verify)


def verify(arguments: argparse.Namespace) -> None:
    """Print the summary of a data set. Raises NearfarError where something is not as expected."""
    from nearfar.challenge import sets as challenge
    from nearfar.challenge.verify import said, summary
    from nearfar.data import dataset

    sets = challenge.read_sets(arguments.configfile) if arguments.configfile else {}
    if sets:
        challenge.refuse_absent(arguments.folder, sets)
    folders = challenge.folders(arguments.folder, sets) if sets else dataset.folders(arguments.folder)
    text, faults = summary(folders, challenge.expected(sets))
    print(text, end="")
    if faults:
        raise NearfarError(f"{arguments.folder}: {said(faults)}; mend what the lines above name")


def add_validate(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar validate``."""
    parser = commands.add_parser("validate", help="check a submission against every rule of the challenge's format")
    parser.add_argument("package", metavar="ZIP_OR_DIR", help="the zip, or the folder that holds the systems' folders")
    parser.add_argument("--clips", metavar="DIR", help="data set whose test clips must all be scored")
    parser.add_argument("--count", type=int, metavar="N", help="test clips of each machine; 200 in the challenge")
    parser.set_defaults(run=validate)


def validate(arguments: argparse.Namespace) -> None:
    """Print every breach of the format, or the counts of a submission without one. Raises NearfarError for breaches."""
    from nearfar.challenge.check import check

    found = check(arguments.package, arguments.clips, arguments.count)
    if found.total:
        print("\n".join(found.breaches))
        raise NearfarError(f"{arguments.package}: breaches of the format: {found.total}; mend them")
    print(found.counts)


def add_import(commands: argparse._SubParsersAction) -> None:
    """Declare ``nearfar import``."""
    parser = commands.add_parser(
        "import",
        help="write a clip table by looking at a folder of recordings",
        description="Write a clip table by looking at a folder of recordings, and say what was understood of it.",
        epilog="Understood are <machine>/normal beside <machine>/new or <machine>/abnormal, <machine>/train beside "
        "<machine>/test, folders source and target in any of them, MIMII's id_00/normal and the challenge's names. "
        "Files may have any name and lie at any depth. A table of your own has a column path and any of machine, "
        "split (train, test), domain, label, attribute and section.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the recordings: wav, flac, ogg, opus, mp3, aiff, w64")
    parser.add_argument("--out", required=True, metavar="FILE.csv", help="the table; its paths are relative to it")
    parser.add_argument("--force", action="store_true", help="replace a table that is there already")
    parser.set_defaults(run=import_clips)


def import_clips(arguments: argparse.Namespace) -> None:
    """Write the clip table of a folder and print what was understood. Raises NearfarError where that is nothing."""
    from nearfar.data.findings import report
    from nearfar.data.importing import import_folder

    machines, notes, passed = import_folder(arguments.folder, arguments.out, arguments.force)
    print(report(arguments.folder, arguments.out, machines, notes, passed), end="")


COMMANDS = [
    add_import,
    add_embed,
    add_evaluate,
    add_compare,
    add_verify,
    add_table,
    add_validate,
    add_export,
    add_score,
]  # a subcommand is one function that declares it; heavy imports wait until it runs


if __name__ == "__main__":
    sys.exit(main())
