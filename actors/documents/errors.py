"""Why a document could not be read."""

from middleware.errors import Permanent, Retryable


class UnreadableDocumentError(Permanent):
    """The document cannot be read, however often it is tried.

    `code`: the stable reason: `encrypted`, `not_a_pdf`, `broken`, `empty`, `too_many_pages`, `too_large`, `too_slow`,
    `out_of_memory`, `crashed` or `not_extracted`. `message`: a sentence for the person who uploaded it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ReaderTimeoutError(Retryable):
    """The reader got too little of the machine to end in time; its own processor time was not used up."""


class ReaderFailedError(Retryable):
    """The reader itself could not work; the document is not to blame."""
