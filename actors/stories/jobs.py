"""The job type of stories: one reviewer after the other, each on the story that the one before has left."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from actors.answers import Model, NoAnswerError, model_of
from actors.job import Backoff, JobContext, job
from actors.stories import model as by_model
from actors.stories.acceptance import review_acceptance
from actors.stories.accessibility import review_accessibility
from actors.stories.ambiguity import review_ambiguity
from actors.stories.format import review_format
from actors.stories.invest import review_invest
from actors.stories.review import Finding, Review, Reviewer
from actors.stories.security import review_security
from persistence.errors import StoryTooLargeError, TooManyIterationsError
from persistence.users import Tier

Name = Literal["format", "invest", "acceptance", "ambiguity", "security", "accessibility"]

REVIEWERS: dict[Name, Reviewer] = {
    "format": review_format,
    "invest": review_invest,
    "acceptance": review_acceptance,
    "ambiguity": review_ambiguity,
    "security": review_security,
    "accessibility": review_accessibility,
}
FILE = "story.md"
# A result may have 1 MiB; larger stories go to files.
INLINE_BYTES = 512 * 1024
_TIME_LIMIT_SECONDS = 1_800  # 50 iterations with a model that takes half a minute
_LAST_PERCENT = 99  # 100 is for what has been committed


class StoryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A story, and its reviewers in the order in which they are to read it; one may come again."""

    story: Annotated[str, msgspec.Meta(pattern=r"\S", description="The story's text; not blank.")]
    iterations: Annotated[list[Name], msgspec.Meta(min_length=1)]


class Iteration(msgspec.Struct, kw_only=True):
    """What one reviewer said.

    `by`: who reviewed, `rules` or `model`; `reason`: why rules did although a model was asked. `omitted`: findings beyond the
    100 that are listed. `story`: as this reviewer left it; null where `file` names the attachment that holds it.
    """

    name: Name
    by: Literal["rules", "model"]
    reason: str | None = None
    findings: list[Finding]
    omitted: int = 0
    story: str | None
    file: str | None = None


class ProcessedStory(msgspec.Struct, kw_only=True):
    """All iterations and the story as the last one left it, which is also attached as `story.md`."""

    iterations: list[Iteration]
    story: str | None
    file: str = FILE


def measure(request: StoryRequest, limits: Tier) -> None:
    """Hold a request against its user's tier.

    :raises TooManyIterationsError: more than the tier's `max_items`.
    :raises StoryTooLargeError: more bytes of UTF-8 than the tier's `max_payload_bytes`.
    """
    if (count := len(request.iterations)) > limits.max_items:
        message = f"iterations: {count}, and the tier allows {limits.max_items}"
        raise TooManyIterationsError(message, limit=limits.max_items, field="payload.iterations")
    if (size := len(request.story.encode())) > limits.max_payload_bytes:
        message = f"story: {size} bytes of UTF-8, and the tier allows {limits.max_payload_bytes}"
        raise StoryTooLargeError(message, limit=limits.max_payload_bytes, field="payload.story")


@job(
    "stories.process",
    payload=StoryRequest,
    result=ProcessedStory,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=Backoff(1, 5, 30),
    max_attempts=4,
    measure=measure,
)
def process(job: JobContext, request: StoryRequest) -> ProcessedStory:
    """Review a user story, iteration by iteration: findings with excerpts and suggestions, and a revised story."""
    model = model_of(job)
    story, done = request.story, list[Iteration]()
    for number, name in enumerate(request.iterations):
        job.check()
        job.progress(_LAST_PERCENT * number / len(request.iterations), f"{name} ({number + 1} of {len(request.iterations)})")
        iteration, story = _iterate(name, story, model)
        done.append(iteration)
    job.check()
    job.save_file(FILE, story.encode(), "text/markdown")
    inline = _is_small([one.story or "" for one in done])
    if not inline:
        for number, one in enumerate(done, 1):
            one.file = f"story-{number}-{one.name}.md"
            job.save_file(one.file, (one.story or "").encode(), "text/markdown")
            one.story = None
    return ProcessedStory(iterations=done, story=story if inline else None)


def _iterate(name: Name, story: str, model: Model | None) -> tuple[Iteration, str]:
    reason = None
    if model is not None:
        try:
            return _iteration(name, "model", by_model.review(model, name, story))
        except NoAnswerError as error:
            reason = str(error)
    return _iteration(name, "rules", REVIEWERS[name](story), reason)


def _iteration(name: Name, by: Literal["rules", "model"], made: Review, reason: str | None = None) -> tuple[Iteration, str]:
    one = Iteration(name=name, by=by, reason=reason, findings=made.findings, omitted=made.omitted, story=made.story)
    return one, made.story


def _is_small(stories: list[str]) -> bool:
    encode: Callable[[object], bytes] = msgspec.json.encode
    return sum(len(encode(story)) for story in [*stories, stories[-1]]) <= INLINE_BYTES
