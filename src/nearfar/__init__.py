def __getattr__(name: str) -> object:
    """Return ``nearfar.load``, whose module imports torch, when it is asked for."""
    if name != "load":
        raise AttributeError(f"module 'nearfar' has no attribute {name!r}")
    from nearfar.export.model import load

    return load
