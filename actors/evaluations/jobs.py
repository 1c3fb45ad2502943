"""The job types of an evaluation: a probe asks one model one scenario; the analyses compare what the probes of a run brought.

An analysis takes what is there when it begins. After probes were replayed, another one can be submitted for the same run.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

import msgspec

from actors.chat import Completion, chat
from actors.command import run_command
from actors.evaluations.figures import Answer, BasicAnalysis, Probe, basic
from actors.evaluations.scoring import score, words
from actors.job import JobContext, Permanent, job
from persistence import evaluations, runs
from persistence.errors import NotFoundError

TRANSCRIPT = "transcript.json"

_PROBE_SECONDS = 150  # an answer has 120 of them, see actors/chat.py
_ANALYSIS_SECONDS = 300
_ANSWER_CHARACTERS = 20_000  # the transcript has all of it
_PAGE = 500
_AGREEMENT = Path(__file__).with_name("agreement.py")


class ProbeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Ask a model a scenario's prompt; with `expected` the answer is scored. `scenario` is its number, from 0."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    expected: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    scenario: Annotated[int, msgspec.Meta(ge=0)] = 0
    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class AnalysisRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Analyse what the probes of a run have brought so far."""

    run: UUID


class Share(msgspec.Struct, kw_only=True):
    """A model's share of right answers with its confidence interval; null where nothing was scored."""

    model: str
    scored: int
    accuracy: float | None
    interval: tuple[float, float] | None


class Pair(msgspec.Struct, kw_only=True):
    """How far two models agree.

    `scenarios`: that both answered; `same_answer`: the share of them with equal words. `scored`: those with an expectation;
    `agreement`: the share of these where both are right or both wrong, with its confidence interval; `kappa`: Cohen's.
    """

    models: tuple[str, str]
    scenarios: int
    same_answer: float | None
    scored: int
    agreement: float | None
    interval: tuple[float, float] | None
    kappa: float | None


class DeepAnalysis(msgspec.Struct):
    """Agreement of each two models, and confidence intervals (Wilson's)."""

    confidence: float
    models: list[Share]
    pairs: list[Pair]


@job(
    evaluations.PROBE,
    payload=ProbeRequest,
    result=Answer,
    time_limit_seconds=_PROBE_SECONDS,
)
def probe(job: JobContext, request: ProbeRequest) -> Answer:
    """Ask a model, keep the transcript as `transcript.json`, and score the answer."""
    endpoint = chat()
    if endpoint is None:
        raise Permanent("GREENROOM_LLM_URL is not set for this worker")
    messages = [{"role": "user", "content": request.prompt}]
    completion = endpoint.complete(messages, model=request.model)
    job.save_file(TRANSCRIPT, _transcript(messages, completion), "application/json")
    value = None if request.expected is None else score(completion.text, request.expected)
    return Answer(
        model=request.model,
        scenario=request.scenario,
        name=request.name,
        answer=completion.text[:_ANSWER_CHARACTERS],
        truncated=len(completion.text) > _ANSWER_CHARACTERS,
        score=value,
        correct=None if value is None else value == 1.0,
        seconds=round(completion.seconds, 4),
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
    )


@job(
    evaluations.BASIC,
    payload=AnalysisRequest,
    result=BasicAnalysis,
    time_limit_seconds=_ANALYSIS_SECONDS,
)
def analyze_basic(job: JobContext, request: AnalysisRequest) -> BasicAnalysis:
    """Count each model's answers, scores, latency and tokens."""
    return basic(_probes(job, request))


@job(
    evaluations.DEEP,
    payload=AnalysisRequest,
    result=DeepAnalysis,
    time_limit_seconds=_ANALYSIS_SECONDS,
)
def analyze_deep(job: JobContext, request: AnalysisRequest) -> DeepAnalysis:
    """Compare the models' answers pair by pair, in a process of its own."""
    answers = [
        {"model": found.model, "scenario": found.answer.scenario, "correct": found.answer.correct, "same": _same(found.answer)}
        for found in _probes(job, request)
        if found.answer is not None
    ]
    compared = run_command([sys.executable, "-I", "-B", str(_AGREEMENT)], answers, job, result=DeepAnalysis)
    return cast("DeepAnalysis", compared)


def _transcript(messages: list[dict[str, str]], completion: Completion) -> bytes:
    usage = {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens}
    said = {"role": "assistant", "content": completion.text}
    return msgspec.json.encode(
        {"model": completion.model, "messages": [*messages, said], "usage": usage, "seconds": round(completion.seconds, 4)}
    )


def _probes(job: JobContext, request: AnalysisRequest) -> Iterator[Probe]:
    """Read the probes of a run of the same user, some at a time."""
    run_id, after = str(request.run), None
    try:
        job.read(lambda session: runs.get(session, run_id=run_id, user_id=job.user))
    except NotFoundError as error:
        raise Permanent(f"there is no run {run_id}") from error
    while True:
        job.check()
        page = job.read(
            lambda session, after=after: evaluations.probes(  # type: ignore[misc]
                session, run_id=run_id, user_id=job.user, after=after, limit=_PAGE
            )
        )
        for found in page:
            answer = None if found.result is None else msgspec.json.decode(found.result, type=Answer)
            yield Probe(msgspec.json.decode(found.payload, type=ProbeRequest).model, found.status, answer)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _same(answer: Answer) -> str:
    """Give what is equal for answers of equal words."""
    return hashlib.sha256(" ".join(words(answer.answer)).encode()).hexdigest()[:32]
