"""The figures of an analysis."""

from actors.evaluations.figures import Answer, Latency, Probe, basic


def probe(model: str, seconds: float, score: float | None, tokens: int | None = 5) -> Probe:
    """Make a probe that has been answered."""
    return Probe(
        model,
        "completed",
        Answer(
            model=model,
            scenario=0,
            name=None,
            answer="x",
            truncated=False,
            score=score,
            correct=None if score is None else score == 1,
            seconds=seconds,
            prompt_tokens=tokens,
            completion_tokens=tokens,
        ),
    )


def test_what_is_counted() -> None:
    """Means and percentiles are over answers, counts over all; what has no score or tokens takes nothing from the others."""
    answered = [probe("a", seconds / 10, 1.0 if seconds % 2 else 0.5) for seconds in range(1, 21)]
    found = basic([*answered, probe("a", 9.0, None, None), Probe("a", "failed", None), Probe("b", "cancelled", None)])
    a, b = found.models
    assert (a.probes, a.answered, a.failed, a.scored, a.correct, a.score) == (22, 21, 1, 20, 10, 0.75)
    assert (a.prompt_tokens, a.completion_tokens) == (100, 100)
    assert a.latency_seconds == Latency(mean=1.4286, p50=1.1, p95=2.0, max=9.0)
    assert (b.probes, b.answered, b.cancelled, b.score) == (1, 0, 1, None)
    assert b.latency_seconds == Latency(None, None, None, None)
    assert found.answers == 21


def test_no_probes() -> None:
    """A run without any is no error."""
    assert basic([]).models == []
