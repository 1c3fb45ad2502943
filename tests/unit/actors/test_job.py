"""`@job`: a function becomes a job type and a real Dramatiq actor, and stays a function that a test can call."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, Any

import dramatiq
import msgspec
import pydantic
import pytest
from dramatiq.brokers.stub import StubBroker

import actors.job
from actors.installation import Installation
from actors.job import Backoff, Cancelled, JobContext, Permanent, Retryable, job
from actors.settings import ActorSettings
from middleware.settings import WorkerSettings
from persistence.environment import SettingsError
from persistence.errors import NotFoundError, UnknownJobTypeError, ValidationError
from persistence.settings import DatabaseSettings


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    """A payload of msgspec's."""

    pages: Annotated[int, msgspec.Meta(ge=1)]
    title: str = "untitled"


@dataclasses.dataclass
class Plain:
    """A payload of the standard library's."""

    pages: int
    title: str = "untitled"


class Model(pydantic.BaseModel):
    """A payload of pydantic's."""

    model_config = pydantic.ConfigDict(extra="forbid")

    pages: int = pydantic.Field(ge=1)
    title: str = "untitled"


KINDS = [Struct, Plain, Model]


def installed(**settings: Any) -> Installation:
    """Make an installation that never opens its database."""
    url = "sqlite:////proc/none/at/all.db"
    return Installation(WorkerSettings(**settings), ActorSettings(), DatabaseSettings(database_url=url))


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Let `@job` declare in an installation of the test's own."""
    made = installed(max_attempts=3, time_limit_seconds=7)
    monkeypatch.setattr(actors.job, "INSTALLATION", made)
    return made


# What the decorator makes.


def test_it_is_a_real_actor(installation: Installation) -> None:
    """Dramatiq knows it under the type's name, with its function and its queue."""

    @job("books.count", payload=Struct, queue="slow")
    def count(context: JobContext, request: Struct) -> int:
        """Count pages.

        Slowly.
        """
        return request.pages

    assert isinstance(count, dramatiq.Actor)
    assert installation.broker.get_actor("books.count") is count
    assert (count.actor_name, count.queue_name) == ("books.count", "slow")
    job_type = installation.registry.get("books.count")
    assert (job_type.name, job_type.queue, job_type.description.splitlines()[0]) == ("books.count", "slow", "Count pages.")
    assert (job_type.max_attempts, job_type.time_limit_seconds, job_type.concurrency) == (3, 7, None)
    assert installation.registry.queues() == {"books.count": "slow"}


def test_its_own_words_go_before_the_settings(installation: Installation) -> None:
    """Attempts, waits, time limit and concurrency of the type."""
    declare = job("books.count", max_attempts=9, time_limit_seconds=1.5, retry=Backoff(2, 4), concurrency=2)
    declare(lambda context, request: None)
    job_type = installation.registry.get("books.count")
    assert (job_type.max_attempts, job_type.time_limit_seconds, job_type.retry.backoff) == (9, 1.5, (2, 4))
    assert installation.registry.concurrency() == {"books.count": 2}


def test_dramatiqs_words_work(installation: Installation) -> None:
    """`max_retries`, `time_limit` in milliseconds, `throws` and `priority` mean what they mean there."""
    made = job("books.count", max_retries=2, time_limit=1500, throws=(KeyError,), priority=4)(lambda context, request: None)
    job_type = installation.registry.get("books.count")
    assert (job_type.max_attempts, job_type.time_limit_seconds, made.priority) == (3, 1.5, 4)
    assert job_type.classify is not None
    assert isinstance(job_type.classify(KeyError("a")), Permanent)
    assert job_type.classify(ValueError("a")) is None


def test_an_option_that_does_not_exist_is_refused(installation: Installation) -> None:
    """A mistyped word is an error at once."""
    with pytest.raises(ValueError, match="max_retires"):
        job("books.count", max_retires=3)(lambda context, request: None)


def test_two_types_of_one_name(installation: Installation) -> None:
    """The second is refused, and the first goes on."""
    first = job("books.count")(lambda context, request: None)
    with pytest.raises(ValueError, match="two job types are called 'books.count'"):
        job("books.count")(lambda context, request: None)
    assert installation.broker.get_actor("books.count") is first


@pytest.mark.parametrize("name", ["", "Books", "books..count", ".a", "a.", "bücher", "a b", "a/b", "a" * 201, "a\n"])
def test_a_name_is_lower_case_words(installation: Installation, name: str) -> None:
    """Names stand in addresses, metrics and patterns."""
    with pytest.raises(ValueError, match="lower-case words"):
        job(name)


@pytest.mark.parametrize("seconds", [(), (1, -1), (math.nan,), (math.inf,), (1, 1e12)])
def test_waits_that_make_no_sense(seconds: tuple[float, ...]) -> None:
    """A back-off is one or more waits that a database can store."""
    with pytest.raises(ValueError, match="back-off"):
        Backoff(*seconds)


# Payloads.


@pytest.mark.parametrize("kind", KINDS)
def test_payloads_are_validated_and_completed(installation: Installation, kind: type) -> None:
    """What is stored is valid JSON of the type, and the function gets the type back, defaults and all."""
    made = job("books.count", payload=kind)(lambda context, request: request)
    stored = made.job_type.validate({"pages": 3})
    decoded = made.job_type.payload.decode(stored)
    assert isinstance(decoded, kind)
    assert (decoded.pages, decoded.title) == (3, "untitled")  # type: ignore[attr-defined]
    assert msgspec.json.decode(made.job_type.validate(decoded)) in ({"pages": 3}, {"pages": 3, "title": "untitled"})
    assert made.job_type.payload.validate_json(b'{"pages": 3}') == stored


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"pages": "many"}, "pages"),
        ({"pages": 3, "title": 7}, "title"),
        ({"title": "a"}, "pages"),
        ({"pages": 3, "title": "a\x00"}, "NUL"),
    ],
)
def test_a_refusal_names_the_field(installation: Installation, kind: type, payload: Any, field: str) -> None:
    """The message says what is wrong and where, whichever library says it."""
    job_type = job("books.count", payload=kind)(lambda context, request: None).job_type
    with pytest.raises(ValidationError, match=field) as caught:
        job_type.validate(payload)
    assert caught.value.message.startswith("payload")


@pytest.mark.parametrize("payload", [None, 7, "text", [1], {"pages": 0}, {"pages": 1, "x": 1}, {"pages": 1, "title": "\ud800"}])
@pytest.mark.parametrize("kind", [Struct, Model])
def test_nonsense_is_refused(installation: Installation, kind: type, payload: Any) -> None:
    """Whatever it is, it is a validation error and nothing else."""
    job_type = job("books.count", payload=kind)(lambda context, request: None).job_type
    with pytest.raises(ValidationError):
        job_type.validate(payload)


def test_a_struct_built_in_python_is_held_to_the_rules(installation: Installation) -> None:
    """A constructor checks nothing, so submitting does."""
    job_type = job("books.count", payload=Struct)(lambda context, request: None).job_type
    with pytest.raises(ValidationError, match="pages"):
        job_type.validate(Struct(pages=0))


def test_without_a_type_any_object_will_do(installation: Installation) -> None:
    """And nothing but an object."""
    job_type = job("books.count")(lambda context, request: None).job_type
    assert job_type.validate({"a": [1, None]}) == '{"a":[1,null]}'
    with pytest.raises(ValidationError):
        job_type.validate([1])


@pytest.mark.parametrize("kind", KINDS)
def test_schemas(installation: Installation, kind: type) -> None:
    """Each side of the contract describes itself as JSON Schema."""
    job_type = job("books.count", payload=kind, result=kind)(lambda context, request: None).job_type
    for schema in (job_type.payload_schema(), job_type.result_schema()):
        assert "pages" in str(schema)


def test_deep_nonsense_is_refused(installation: Installation) -> None:
    """A payload nested beyond all depth is an error, not the end of the process."""
    job_type = job("books.count")(lambda context, request: None).job_type
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValidationError):
        job_type.validate(deep)


# Calling it.


def test_a_direct_call_is_the_function(installation: Installation) -> None:
    """With a context it runs as it is, without a worker, and its context remembers what it did."""

    @job("books.count", payload=Struct, result=int)
    def count(context: JobContext, request: Struct) -> int:
        context.progress(50, "half")
        context.submit("books.other", {"a": 1}, priority=3)
        context.save_file("a.txt", b"abc")
        return len(context.read_file("a.txt")) + context.attempt

    context = JobContext.for_test(attempt=2, subject="book")
    assert count(context, Struct(3)) == 5
    assert context.steps == [(50, "half")]
    assert [(sent.type, sent.payload) for sent in context.sent] == [("books.other", {"a": 1})]
    assert (context.files, context.subject, context.attempt) == ({"a.txt": b"abc"}, "book", 2)
    assert context.user


def test_a_test_can_cancel(installation: Installation) -> None:
    """The next check raises."""
    context = JobContext.for_test()
    context.check()
    context.cancel()
    with pytest.raises(Cancelled):
        context.check()


def test_async_functions_can_be_called(installation: Installation) -> None:
    """Outside a loop the call gives the result, inside one something to await."""
    import asyncio

    @job("books.count")
    async def count(context: JobContext, request: Any) -> int:
        await asyncio.sleep(0)
        return 7

    async def inside() -> int:
        return await count(JobContext.for_test(), {})  # type: ignore[no-any-return]

    assert count(JobContext.for_test(), {}) == 7
    assert asyncio.run(inside()) == 7


def test_a_call_without_a_context_is_a_mistake(installation: Installation) -> None:
    """It says how jobs are submitted."""
    made = job("books.count")(lambda context, request: None)
    with pytest.raises(RuntimeError, match=r"submitted with send\(\)"):
        made({})


def test_sending_needs_a_user(installation: Installation) -> None:
    """Outside an attempt nobody's job is no job."""
    made = job("books.count")(lambda context, request: None)
    with pytest.raises(ValueError, match="user"):
        made.send({})
    with pytest.raises(TypeError, match="one payload"):
        made.send_with_options(args=({}, {}), user="ann")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a\x00", "x" * 201])
def test_file_names(installation: Installation, name: str) -> None:
    """A name that is a path, or none at all, is the author's error at once."""
    with pytest.raises(ValueError, match="not a file's name"):
        JobContext.for_test().save_file(name, b"")


def test_a_file_that_is_not_there(installation: Installation) -> None:
    """In a test as in a worker it is the same error, which the function may catch."""
    with pytest.raises(NotFoundError):
        JobContext.for_test().read_file("none.txt")


# The registry and the broker.


def test_an_unknown_type_is_named(installation: Installation) -> None:
    """The error says which."""
    with pytest.raises(UnknownJobTypeError, match=r"books\.none"):
        installation.registry.get("books.none")
    with pytest.raises(UnknownJobTypeError):
        installation.submission("books.none", {})


def test_a_submission_takes_the_types_word(installation: Installation) -> None:
    """Queue and attempts come from the type unless the caller says otherwise."""
    job("books.count", queue="slow", max_attempts=6)(lambda context, request: None)
    plain = installation.submission("books.count", {})
    asked = installation.submission("books.count", {}, max_attempts=2, priority=9)
    assert (plain.queue, plain.max_attempts, asked.max_attempts, asked.priority) == ("slow", 6, 2, 9)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqps", "needs to start with"),
        ("no.such.module:make", "cannot be used"),
        ("actors.registry:nothing", "cannot be used"),
        ("tests.unit.actors.test_job:installed", "does not make a Dramatiq broker"),
    ],
)
def test_a_broker_that_cannot_be_had(url: str, said: str) -> None:
    """One line that names the setting."""
    with pytest.raises(SettingsError, match=said):
        Installation(WorkerSettings(), ActorSettings(broker_url=url), DatabaseSettings())


def test_any_broker_of_dramatiqs() -> None:
    """A factory by name makes the broker."""
    made = Installation(WorkerSettings(), ActorSettings(broker_url="tests.unit.actors.test_job:a_broker"), DatabaseSettings())
    assert isinstance(made.broker, StubBroker)


def a_broker() -> dramatiq.Broker:
    """Make a broker."""
    return StubBroker(middleware=[])


def test_retryable_is_an_ordinary_exception() -> None:
    """What authors raise can be raised from what they caught."""
    with pytest.raises(Retryable) as caught:
        try:
            raise OSError("disk")
        except OSError as error:
            raise Retryable("later") from error
    assert isinstance(caught.value.__cause__, OSError)
