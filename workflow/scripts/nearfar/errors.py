class NearfarError(Exception):
    """What a user can mend: one line that names the file or key, what is wrong, and the remedy."""
