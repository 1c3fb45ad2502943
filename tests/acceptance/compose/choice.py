"""Which acceptance tests `make compose-test` runs against compose.yaml's stack, and which it leaves out and why.

Those that meet Greenroom through the fixtures `greenroom`, `greenroom_on_sqlite` or `up` of tests/acceptance run there
unchanged: with GREENROOM_TEST_COMPOSE set these fixtures give the stack. All others start processes of their own, with
settings of their own, or none.
"""

import os
from collections import Counter

import pytest

VARIABLE = "GREENROOM_TEST_COMPOSE"
IS_ASKED_FOR = bool(os.environ.get(VARIABLE))

# What the tests of all databases run on.
HOUSES = ["compose"] if IS_ASKED_FOR else ["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)]

# They do the workers' work themselves, or want it not done; those with `up` want workers.
AT_REST = frozenset({"greenroom", "greenroom_on_sqlite"})
WORKING = "up"

SECONDS = 600  # the first of them brings the stack up

PATCHES = "replaces a part of the API within the test's own process"
READS_LOG = "reads what the API logs within the test's own process"
COUNTS_FAILURES = "wants a minute without failures, and behind a published port all callers are one address"
BY_PROCESS_ID = "kills a worker by its process id; compose/test_compose.py kills one in its container"
BY_FILE = "has a job that waits for a file of this machine; test_jobs.py meets the same limit"
OTHER_DATABASE = "is about a database of its own, on SQLite"
OWN_SETTINGS = "wants settings of its own"

# Each: the beginning of a test's name, file and all, and why it is not for containers.
LEFT_OUT = {
    "test_book.py::test_a_killed_worker_costs_an_attempt_and_not_the_book": BY_PROCESS_ID,
    "test_book.py::test_of_fifty_simultaneous_jobs_of_a_free_user_one_is_accepted": BY_FILE,
    "test_command_line.py::test_verify_a_corrupted_database": OTHER_DATABASE,
    "test_embedded_queue.py": OWN_SETTINGS,
    "test_evaluations.py": PATCHES,
    "test_events.py::test_silence_is_broken_by_pings": PATCHES,
    "test_graphql.py::test_d11_part_of_an_answer_without_the_database": PATCHES,
    "test_graphql.py::test_d11_what_nobody_foresaw_stays_inside": PATCHES,
    "test_graphql_evaluations.py::test_d11_a_run_that_cannot_be_is_not_begun": OWN_SETTINGS,
    "test_graphql_evaluations.py::test_d11_start_a_run_of_an_evaluation": OWN_SETTINGS,
    "test_graphql_evaluations.py::test_d11_submissions_a_minute_count_together": OWN_SETTINGS,
    "test_repositories.py": OWN_SETTINGS,
    "test_scans.py": OWN_SETTINGS,
    "security/test_s03_timing.py": PATCHES,
    "security/test_s07_key_in_query.py": READS_LOG,
    "security/test_s08_failed_attempts.py": COUNTS_FAILURES,
    "security/test_s23_forwarded_for.py": COUNTS_FAILURES,
    "security/test_s26_streams.py": PATCHES,
    "security/test_s40_cookies.py::test_guessing_is_limited": COUNTS_FAILURES,
    "security/test_s40_cookies.py::test_sessions_end": COUNTS_FAILURES,
    "security/test_s41_csrf_values.py::test_what_a_cookie_says_is_never_repeated": COUNTS_FAILURES,
    "security/test_s48_canaries.py::test_payloads_stay_out_of_database_errors": PATCHES,
    "security/test_s49_log_lines.py::test_requests_write_one_line_each": READS_LOG,
}


def why_not(name: str) -> str | None:
    """Say why a test is left out.

    :param name: its name below tests/acceptance.
    """
    return next((why for beginning, why in LEFT_OUT.items() if name.startswith(beginning)), None)


def choose(items: list[pytest.Item]) -> Counter[str]:
    """Mark those that run against Compose; those that want workers come first, for stopping and starting these takes a while.

    :returns: how many of those that meet Greenroom through the fixtures are left out, by the reason.
    :raises pytest.UsageError: something is left out that there is not.
    """
    left_out: Counter[str] = Counter()
    names = {item.nodeid.partition("tests/acceptance/")[2]: item for item in items}
    for name, item in names.items():
        if not {*AT_REST, WORKING}.isdisjoint(fixtures(item)):
            if why := why_not(name):
                left_out[why] += 1
            else:
                item.add_marker("compose")
                item.add_marker(pytest.mark.timeout(SECONDS))
    unknown = [beginning for beginning in LEFT_OUT if not any(name.startswith(beginning) for name in names)]
    if unknown and items[0].config.args == ["tests/acceptance"]:
        raise pytest.UsageError(f"tests/acceptance/compose/choice.py leaves out what there is not: {unknown}")
    items.sort(key=lambda item: not AT_REST.isdisjoint(fixtures(item)))
    return left_out


def fixtures(item: pytest.Item) -> list[str]:
    """List the names of a test's fixtures."""
    found: list[str] = getattr(item, "fixturenames", [])
    return found
