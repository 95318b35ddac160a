"""The version, in its one place: the package, its metadata and model files read it here."""

__version__ = "0.1.0"
