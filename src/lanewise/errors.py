"""Every error that Lanewise raises on purpose.

    LanewiseError
    ├── NetworkError            a network that cannot be built     (also ValueError)
    │   ├── NetworkTextError    its text has a mistake: shown with a caret under it
    │   └── ShapeError          a layer does not fit what comes before it
    ├── DataError               images, arrays or labels that cannot be used   (also ValueError)
    ├── OptionError             an option with a value that makes no sense       (also ValueError)
    ├── ModelFileError          a model file that cannot be read or written      (also OSError)
    ├── TooLargeError           what was asked for would not fit in memory       (also MemoryError)
    ├── MissingPackageError     what was asked for needs a package that is not installed   (also ImportError)
    └── ProgramError            a fault in Lanewise itself: a kernel that breaks the rules of the lane program

The message of each names the culprit, says what came and what would fit, and what to do about it. The
command line prints it as one line and exits with status 1; `ProgramError` alone deserves a traceback.

`LanewiseWarning` is no error: it tells of what was done all the same and may harm the result.
"""

from lanewise.escaping import escaped


class LanewiseError(Exception):
    """Base of all errors raised by Lanewise on purpose."""


class _OneLine(LanewiseError):
    """An error that is one line, whatever the names in it hold: terminals obey control characters."""

    def __str__(self) -> str:
        return escaped(super().__str__())


class LanewiseWarning(UserWarning):
    """Something that may harm the result: files left out, images on another scale, a class without images."""


class NetworkError(LanewiseError, ValueError):
    """A network that cannot be built."""


class NetworkTextError(NetworkError):
    """A mistake in the text of a network.

    Parameters
    ----------
    problem : str
        What is wrong and what would be right, in one sentence.
    text : str
        The whole text of the network, on one line.
    start, stop : int
        The characters of `text` that are wrong; carets are printed under them.
    """

    def __init__(self, problem: str, text: str, start: int, stop: int) -> None:
        self.problem, self.text, self.start, self.stop = problem, text, start, stop
        caret = " " * start + "^" * max(1, stop - start)
        super().__init__(f"{problem}\n  {text}\n  {caret}")


class ShapeError(NetworkError):
    """A layer that does not fit the shape it is given."""


class DataError(_OneLine, ValueError):
    """Images, arrays or labels that cannot be used."""


class OptionError(_OneLine, ValueError):
    """An option whose value makes no sense."""


class ModelFileError(_OneLine, OSError):
    """A model file that cannot be read or written."""


class TooLargeError(_OneLine, MemoryError):
    """Something that would not fit in this machine's memory."""


class MissingPackageError(_OneLine, ImportError):
    """Something that needs a package which only an extra of Lanewise installs."""


class ProgramError(LanewiseError):
    """A kernel breaks the rules of the lane program: a fault in Lanewise, not in what a user did."""
