"""Figures: what a model's probes say of it, and what can be said before any answers are compared."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec


class Answer(msgspec.Struct, kw_only=True):
    """What a model answered to one scenario.

    `scenario`: its number, from 0. `answer`: the text, or its beginning if it is long. `score`: 0 to 1; it and `correct` are
    null without an expectation. `prompt_tokens`, `completion_tokens`: null where the endpoint does not count.
    """

    model: str
    scenario: int
    name: str | None
    answer: str
    truncated: bool
    score: float | None
    correct: bool | None
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None


class Latency(msgspec.Struct):
    """Seconds from question to answer; null without any answer."""

    mean: float | None
    p50: float | None
    p95: float | None
    max: float | None


class ModelFigures(msgspec.Struct, kw_only=True):
    """One model: how its probes stand, its scores over `scored` answers, how long it took, and its tokens in all."""

    model: str
    probes: int
    answered: int
    failed: int
    cancelled: int
    scored: int
    correct: int
    score: float | None
    latency_seconds: Latency
    prompt_tokens: int
    completion_tokens: int


class BasicAnalysis(msgspec.Struct):
    """The figures of each model of a run, by name, and how many answers they come from."""

    answers: int
    models: list[ModelFigures]


class Probe(NamedTuple):
    """A probe: which model, how its job stands, and the answer once there is one."""

    model: str
    status: str
    answer: Answer | None


def basic(probes: Iterable[Probe]) -> BasicAnalysis:
    """Count and average the probes of each model."""
    stands: defaultdict[str, Counter[str]] = defaultdict(Counter)
    answers: defaultdict[str, list[Answer]] = defaultdict(list)
    for probe in probes:
        stands[probe.model][probe.status] += 1
        if probe.answer is not None:
            answers[probe.model].append(probe.answer)
    models = [_figures(model, stands[model], answers[model]) for model in sorted(stands)]
    return BasicAnalysis(sum(figures.answered for figures in models), models)


def _figures(model: str, stands: Counter[str], answers: Sequence[Answer]) -> ModelFigures:
    scores = [answer.score for answer in answers if answer.score is not None]
    return ModelFigures(
        model=model,
        probes=stands.total(),
        answered=len(answers),
        failed=stands["failed"],
        cancelled=stands["cancelled"],
        scored=len(scores),
        correct=sum(bool(answer.correct) for answer in answers),
        score=round(statistics.fmean(scores), 4) if scores else None,
        latency_seconds=_latency([answer.seconds for answer in answers]),
        prompt_tokens=sum(answer.prompt_tokens or 0 for answer in answers),
        completion_tokens=sum(answer.completion_tokens or 0 for answer in answers),
    )


def _latency(seconds: list[float]) -> Latency:
    if not seconds:
        return Latency(None, None, None, None)
    # The nearest rank: a latency that was really seen.
    seconds = sorted(seconds)
    p50, p95 = (seconds[max(0, -(-len(seconds) * share // 100) - 1)] for share in (50, 95))
    return Latency(*(round(value, 4) for value in (statistics.fmean(seconds), p50, p95, seconds[-1])))
