"""The protocol holds in every state that can be reached, and without one of its rules it does not.

`pytest tests/model -s` prints how many states there are, and for each rule the shortest way to what goes wrong without it.
"""

from dataclasses import dataclass, fields

import pytest

from tests.model.exploration import Found, explore
from tests.model.steps import NAMES, steps
from tests.model.verbs import Rules
from tests.model.world import World, beginning


@dataclass(frozen=True, slots=True)
class Without:
    """The protocol without one of its rules, in the smallest world in which that shows.

    :param broken: what comes to be broken.
    :param by: steps that the way there has, in this order.
    """

    rule: str
    broken: str
    by: tuple[str, ...]
    jobs: int = 1
    mishaps: int = 2
    slow: bool = False

    def __str__(self) -> str:
        return self.rule

    def explored(self, rules: Rules, *, processes: int = 1, folds: bool = False) -> Found:
        """Explore this world to its end, or to what is broken."""
        start = beginning(jobs=self.jobs, processes=processes, mishaps=self.mishaps)
        return explore(start, rules, slow=self.slow, folds=folds)


STUCK = "A8: stuck when faults end"
VARIANTS = [
    Without("claim_asks_slot", "A3: job 0 is processing without a slot", ("dispatch", "pause", "claim")),
    Without("claim_asks_status", "A4: job 0 went from cancelled to processing", ("duplicate", "cancel", "claim")),
    Without("fence_asks_claim", "A5: claim 1 of job 0 wrote over claim 2", ("finish", "claim", "repeat")),
    Without("replay_keeps_claim_no", "A5: the claim number of job 0 fell", ("finish", "replay")),
    Without("release_asks_flag", "A3: -1 slots are counted and 0 are held", ("finish", "repeat")),
    Without("dispatch_asks_limit", "A3: 2 slots are held", ("dispatch", "dispatch"), jobs=2, mishaps=0),
    Without("cancel_leaves_slot", "A3: an attempt at job 0 works without its slot", ("claim", "cancel"), mishaps=0),
    Without("cancel_releases_queued", STUCK, ("dispatch", "cancel"), mishaps=0),
    Without("refusal_releases", STUCK, ("claim", "cancel"), mishaps=0),
    Without("rescue_whatever_status", STUCK, ("claim", "cancel", "crash"), mishaps=1),
    Without("rescue_asks_death", "A3: an attempt at job 0 works without its slot", ("claim", "rescue"), mishaps=0),
    Without("beat_compares", STUCK, ("claim", "lose_reply"), mishaps=1),
    Without("beat_waits_for_second", "A3: an attempt at job 0 works without its slot", ("claim", "beat", "answer"), mishaps=0),
    Without("dead_for_good", "A3: an attempt at job 0 works without its slot", ("expire", "rescue", "beat"), mishaps=1),
    Without("claim_asks_life", "A5: a worker whose lease is over made a claim", ("expire", "claim"), mishaps=1),
    Without("beat_registers_anew", STUCK, ("expire",)),
    Without("beat_drops_all", "A3: an attempt at job 0 works without its slot", ("claim", "expire", "beat"), mishaps=1),
    Without("sweep_resends", STUCK, ("dispatch", "lose"), mishaps=1),
    Without("resend_keeps_number", STUCK, (), slow=True, mishaps=0),
    Without("sql_takes_back", STUCK, ("dispatch", "change_broker"), mishaps=1),
    Without("replay_only_once", "A4: job 0 went from cancelled to queued", ("finish", "replay", "cancel", "replay")),
]
# The second locks: claim numbers alone tell claims apart, as long as they never fall; and to a job that was sent again an old
# message is as good a hint as the new one, as long as the job has to be queued and to have its slot.
SPARE = {"fence_asks_worker", "claim_asks_dispatch"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("start", "slow"),
    [
        pytest.param(beginning(jobs=2, processes=2, mishaps=2), False, id="two jobs, two workers"),
        pytest.param(beginning(jobs=2, processes=2, mishaps=2, sql=True), False, id="the SQL broker"),
        pytest.param(beginning(jobs=1, processes=2, mishaps=3), False, id="three mishaps"),
        pytest.param(beginning(jobs=1, processes=2, mishaps=2), True, id="slow consumers"),
    ],
)
def test_no_state_breaks_the_protocol(start: World, slow: bool) -> None:
    """In every state every invariant holds, and there is a way on to where every job has ended and every slot is free."""
    found = explore(start, Rules(), slow=slow, folds=True)
    print(found)  # noqa: T201 - how far the exploration went is what a reader wants to know
    assert (found.broken, found.trace) == (None, ()), str(found)


@pytest.mark.parametrize("without", VARIANTS, ids=str)
def test_every_rule_is_needed(without: Without) -> None:
    """The protocol that lacks a rule is broken, in the way that the rule is there to prevent; with it, it is sound."""
    rules = Rules(**{without.rule: False})
    found = without.explored(rules)
    print(f"\nwithout {without}: {found}")  # noqa: T201 - the way there is what a reader wants to know
    assert found.broken == without.broken, str(found)
    assert is_in_order(without.by, [step.split()[0] for step in found.trace]), str(found)
    assert without.explored(Rules()).broken is None
    # Folding, which the great explorations need, hides none of it.
    assert without.explored(rules, processes=2, folds=True).broken is not None


def test_no_rule_is_left_untried() -> None:
    """Each rule of the model has its variant, but for those that something else makes up for, and these are named."""
    assert {rule.name for rule in fields(Rules)} == {without.rule for without in VARIANTS} | SPARE
    for rule in SPARE:
        assert explore(beginning(jobs=1, processes=2, mishaps=2), Rules(**{rule: False}), folds=True).broken is None


def test_every_step_happens() -> None:
    """Nothing that the model knows of is out of reach."""
    met: set[str] = set()
    seen = {start := beginning(jobs=1, processes=1, mishaps=2)}
    front = [start]
    while front:
        for step in steps(front.pop(), Rules()):
            met.add(step.name)
            if step.world not in seen:
                seen.add(step.world)
                front.append(step.world)
    assert met == set(NAMES)


def is_in_order(wanted: tuple[str, ...], steps: list[str]) -> bool:
    """Tell whether steps come one after the other, whatever stands between them."""
    rest = iter(steps)
    return all(name in rest for name in wanted)
