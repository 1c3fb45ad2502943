"""The tree of errors: each class is one thing that can go wrong, with a stable code and the fields that explain it."""


class GreenroomError(Exception):
    """The request could not be done."""

    code = "ERROR"

    def __init__(self, message: str | None = None, **fields: object) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.message = str(self)
        self.fields = fields


class NotFoundError(GreenroomError):
    """There is no such thing."""

    code = "NOT_FOUND"


class ValidationError(GreenroomError):
    """The request is not valid."""

    code = "VALIDATION"


class UnknownJobTypeError(GreenroomError):
    """No job type of this name is known."""

    code = "UNKNOWN_JOB_TYPE"


class TooManyIterationsError(GreenroomError):
    """The tier does not allow this many iterations."""

    code = "TOO_MANY_ITERATIONS"


class StoryTooLargeError(GreenroomError):
    """The tier does not allow a story of this size."""

    code = "STORY_TOO_LARGE"


class PayloadTooLargeError(GreenroomError):
    """The body or the payload is larger than allowed."""

    code = "PAYLOAD_TOO_LARGE"


class UnauthenticatedError(GreenroomError):
    """A valid API key or token is needed."""

    code = "UNAUTHENTICATED"


class ForbiddenError(GreenroomError):
    """This key may not do that."""

    code = "FORBIDDEN"


class JobFinishedError(GreenroomError):
    """The job has already finished."""

    code = "JOB_FINISHED"


class IllegalTransitionError(GreenroomError):
    """The thing is not in a state that allows this."""

    code = "ILLEGAL_TRANSITION"


class IdempotencyMismatchError(GreenroomError):
    """This idempotency key was used with another body."""

    code = "IDEMPOTENCY_MISMATCH"


class ConcurrentJobLimitError(GreenroomError):
    """The tier's number of unfinished jobs is reached."""

    code = "CONCURRENT_JOB_LIMIT"


class RateLimitedError(GreenroomError):
    """Too many requests in this minute."""

    code = "RATE_LIMITED"


class NotConfiguredError(GreenroomError):
    """This installation lacks a setting that the request needs."""

    code = "NOT_CONFIGURED"


class DatabaseUnavailableError(GreenroomError):
    """The database cannot be reached at the moment; nothing was changed."""

    code = "UNAVAILABLE"


class UnsupportedMediaTypeError(GreenroomError):
    """The body is not of a type that this address takes."""

    code = "UNSUPPORTED_MEDIA_TYPE"
