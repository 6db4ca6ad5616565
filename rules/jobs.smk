# What surrounds the jobs of a run: what was asked for, what is said of it, how jobs are started.
import gc
import logging

from snakemake.common import NOTHING_TO_BE_DONE_MSG

from nearfar.data.skipped import left_out
from nearfar.jobs import targets
from nearfar.systems.results import TABLES, printed

# A plan is millions of objects that all stay: looking through them for garbage took a tenth of its time.
gc.set_threshold(200_000, 100, 10)


def refuse_unknown_targets():
    """Say in one line what there is, where the command line asks for what no rule makes."""
    if not workflow.is_main_process or not sys.argv[0].endswith(
        ("snakemake", "snakemake/__main__.py")
    ):
        return
    words = [w for w in sys.argv[1:] if w and w[0] != "-" and not known(w)]
    if not words:
        return
    from snakemake.cli import get_argument_parser

    # Snakemake hands its targets over after this; most such words are the value of an option
    asked, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    for target in asked.targets or []:
        if target in words:
            raise WorkflowError(f"nearfar: {what_there_is(target)}")


def known(word):
    """Return whether a word is a rule, or what a rule makes."""
    path = word if os.path.isabs(word) else os.path.relpath(word)
    return workflow.is_rule(word) or any(
        known_rule.is_producer(path)
        and known_rule.get_wildcards(path).get("machine") in {None, *FOLDERS}
        for known_rule in workflow.rules
    )


def what_there_is(target):
    """Return a line about a target that no rule makes."""
    from snakemake.io import strip_wildcard_constraints

    names = {
        "system": config["systems"],
        "machine": FOLDERS,
        "detector": config["detectors"],
        "feature": config["features"],
    }
    outputs = [
        strip_wildcard_constraints(str(path))
        for rule in workflow.rules
        for path in rule.output
    ]
    plain = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
    return targets.no_such_target(
        os.path.normpath(target), results(""), outputs, names, plain
    )


def asked_for():
    """Return the targets of this run in the order of the command line."""
    asked = workflow.dag_settings.targets or [workflow.default_target]
    return sorted(asked, key=lambda word: [*sys.argv, word].index(word))


def files_of(target):
    """Return the files that a target stands for: its own path, or what a rule makes, or, where it makes none, needs."""
    if not workflow.is_rule(target):
        return [target]
    jobs = [job for job in workflow.dag.jobs if job.rule.name == target]
    return [str(path) for job in jobs for path in job.output or job.input]


def print_results():
    """Name what this run was asked for, print what of it is a table, and say what recordings were left out."""
    paths = [path for target in asked_for() for path in files_of(target)]
    for path in dict.fromkeys(paths):
        print(f"\n{stopping(printed, path)}" if path.endswith(TABLES) else path)
    if dataset.skips(DATA) and (lines := left_out(CLIP_TABLES, results("skipped.csv"))):
        print("\n" + "\n".join(lines))


class Idle(logging.Handler):
    """Prints the results where there is nothing to be done: Snakemake then calls none of its hooks."""

    def emit(self, record):
        if record.getMessage() == NOTHING_TO_BE_DONE_MSG and not workflow.dryrun:
            print_results()


def print_results_when_idle():
    """Print what was asked for where it is there already, too."""
    if workflow.is_main_process:
        logger.addHandler(Idle())


def announce_autoencoders():
    """Say that a run trains autoencoders, where it was not asked for the baseline that they are of."""
    jobs = [
        job
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "autoencoder_model"
    ]
    takers = [
        name
        for name, about in config["detectors"].items()
        if any(view.startswith("autoencoder/") for view in about["views"])
    ]
    if jobs and not any("baseline" in target for target in asked_for()):
        logger.info(
            f"nearfar: this trains autoencoders, one a machine ({len(jobs)}), for {targets.listed(takers)}"
        )


def start_jobs_at_once():
    """Take the limit on the jobs started a second off a local run.

    For its sake Snakemake (9.27) looks through all ready jobs again a second after each time that it did, so with every
    job that ends once more a second, and waits for the last of these timers before it exits.
    """
    if workflow.local_exec and hasattr(workflow.scheduler, "job_rate_limiter"):
        workflow.scheduler.job_rate_limiter = None
