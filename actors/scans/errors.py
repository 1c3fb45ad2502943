"""Why a repository could not be scanned."""

from middleware.errors import Permanent, Retryable


class RepositoryRefusedError(Permanent):
    """The repository is at a place that may not be scanned; the message says why, in words that its owner may read."""


class RepositoryUnreadableError(Permanent):
    """There is no repository there, or none that can be read, however often it is tried."""


class RepositoryUnreachableError(Retryable):
    """The repository could not be reached or read this time."""


class GitUnusableError(Permanent):
    """The worker's machine has no git program that can be used."""


class ScanGoneError(Permanent):
    """The scan has been deleted."""
