"""The rule reviewers: what each of them finds and writes, and what all of them promise about any text."""

import re
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.stories.ambiguity import review_ambiguity
from actors.stories.jobs import REVIEWERS
from actors.stories.narrative import narratives
from actors.stories.review import MOST_FINDINGS
from actors.stories.text import CRITERIA, section, with_lines
from actors.stories.topics import ADDED

# What stories are made of, put together in any order.
PIECES = [
    "As a user",
    "as an admin,",
    "As registered users",
    "I want to",
    "I need",
    "we would like to be able to",
    "so that",
    "In order to",
    "so I can",
    "log in",
    "reset my password",
    "upload a photo",
    "pay fast",
    "and/or",
    "etc.",
    "is sent",
    "was deleted by me",
    "faster",
    "within 2 seconds",
    ".",
    ",",
    "!",
    "\n",
    "\n\n",
    "- ",
    "Acceptance criteria:",
    "## Open questions",
    "Given I am here",
    "when I press",
    "Then it is nice",
    "[what is done]",
    "TBD",
    "depends on story #12",
    "a chart",
    "**bold**",
    "ünïcödé 🦉",
    "\r\n",
    "As a result",
    "because",
    "the whole system",
    "always",
    "see ABC-123",
    "1. first",
    "“quoted”",
    "  ",
    "\t",
]
STORIES = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=30).map(" ".join)
STORIES = STORIES.filter(lambda text: text.strip() != "" and "\0" not in text)
# Words that the usual form has in place of others.
CONNECTING = set(
    re.findall(
        r"\w+",
        "as in order to so that i we want need would like wish expect can could able be am are also really should must do d",
    )
)
# What a single criterion with a blank may leave open.
_OPEN = {"no-failure-case", "unfilled-placeholder"}
reviewers = pytest.mark.parametrize("name", REVIEWERS)


def rules(name: str, story: str) -> dict[str, str]:
    """Review a story; give each rule's first excerpt."""
    found: dict[str, str] = {}
    for one in REVIEWERS[name](story).findings:  # type: ignore[index]
        found.setdefault(one.rule, one.excerpt)
    return found


def words(text: str) -> Counter[str]:
    """Count a text's words, but for those that forms may change."""
    return Counter(word for word in re.findall(r"\w+", text.casefold()) if word not in CONNECTING)


@reviewers
@given(story=STORIES)
def test_excerpts_are_the_story_s_own_words(name: str, story: str) -> None:
    """Every excerpt is there, to the letter, and every finding has a rule and a suggestion."""
    made = REVIEWERS[name](story)  # type: ignore[index]
    assert all(one.excerpt.strip() and one.excerpt in story for one in made.findings)
    assert all(
        re.fullmatch(r"[a-z-]+", one.rule) is not None and one.suggestion.rstrip(".?") != one.suggestion for one in made.findings
    )


@reviewers
@given(story=STORIES)
def test_nothing_is_lost(name: str, story: str) -> None:
    """All words of the story are in the revised one; what is not put into another form is there letter by letter."""
    revised = REVIEWERS[name](story).story  # type: ignore[index]
    assert words(story) <= words(revised)
    if name != "format":
        rest = iter(revised)
        assert all(letter in rest for letter in story.rstrip())


@reviewers
@given(story=STORIES)
def test_once_more_changes_nothing(name: str, story: str) -> None:
    """The same story gives the same review, and a reviewer leaves what it has written as it is."""
    once = REVIEWERS[name](story)  # type: ignore[index]
    assert REVIEWERS[name](story) == once  # type: ignore[index]
    assert REVIEWERS[name](once.story).story == once.story  # type: ignore[index]


@given(story=STORIES)
def test_all_of_them_twice(story: str) -> None:
    """After all reviewers have read a story twice, a third time adds nothing: it does not grow for ever."""
    for _ in range(2):
        for review in REVIEWERS.values():
            story = review(story).story
    before = story
    for review in REVIEWERS.values():
        story = review(story).story
    assert story == before


@reviewers
@pytest.mark.parametrize(
    "text",
    [
        "fast as a user I want x. ",
        "*",
        " ",
        "\n",
        "As a user\nI want x\n\n",
        "Given x\n",
        "- when then\n",
        "I would want ",
        "is ",
        "[",
        "password ",
    ],
    ids=repr,
)
def test_long_texts_take_no_longer_than_they_are(name: str, text: str) -> None:
    """Sixteen times the text takes nowhere near 256 times as long: nobody holds a worker by what he writes."""

    def seconds(size: int) -> float:
        story = (text * (size // len(text))) + "x"
        started = time.thread_time()
        made = REVIEWERS[name](story)  # type: ignore[index]
        assert len(made.findings) <= MOST_FINDINGS
        return time.thread_time() - started

    # A busy machine may slow one of them down, but not each time the longer one.
    assert any(seconds(80_000) < 64 * seconds(5_000) + 0.5 for _ in range(3))


@pytest.mark.parametrize(
    ("story", "canonical"),
    [
        ("As a clerk I want to print so that I can file", "As a clerk, I want to print, so that I can file."),
        ("As a clerk, I need to be able to print, so I can file.", "As a clerk, I want to print, so that I can file."),
        ("In order to file, as a clerk, I would like to print.", "As a clerk, I want to print, so that I can file."),
        ("I want to print, as a clerk, so that I can file.", "As a clerk, I want to print, so that I can file."),
        ("As a clerk\nI want a printer\nSo that I can file", "As a clerk, I want a printer, so that I can file."),
        ("**As a** clerk, **I want to** print, **so that** I can file.", "As a clerk, I want to print, so that I can file."),
        ("As clerks we can print in order to file.", "As clerks, we want to print, so that we can file."),
        ("Printing\nAs a clerk I want to print.\n\nMore words.", "Printing\nAs a clerk, I want to print.\n\nMore words."),
    ],
)
def test_format_knows_the_variants(story: str, canonical: str) -> None:
    """A role, a wish and a benefit in another order or in other words are put into the usual form, and found as they were."""
    made = REVIEWERS["format"](story)
    assert made.story.replace("**", "") == canonical
    assert "not-canonical" in {one.rule for one in made.findings}


@pytest.mark.parametrize(
    ("name", "story", "rule", "excerpt"),
    [
        ("format", "The page is blue.", "no-story", "The page is blue."),
        ("format", "I want to print.", "missing-role", "I want to print."),
        ("format", "As a clerk, I want to print.", "missing-benefit", "As a clerk, I want to print."),
        ("format", "As a clerk, printing.", "missing-wish", "As a clerk, printing."),
        ("format", "As a user, I want A, so that B.", "role-says-nothing", "As a user,"),
        ("format", "As a developer, I want A, so that B.", "role-is-no-user", "As a developer,"),
        ("format", "As a clerk, I want to print, so that I can print.", "benefit-repeats-wish", "so that I can print."),
        ("format", "As a clerk, I want A. As a cook, I want B.", "several-stories", "As a cook, I want B."),
        ("invest", "It depends on the login.", "independent-of-others", "depends on"),
        ("invest", "Store it using Kafka.", "negotiable-solution", "using Kafka"),
        ("invest", "As a clerk, I want to print.", "valuable-no-benefit", "As a clerk, I want to print."),
        ("invest", "The format is TBD.", "estimable-unknown", "TBD"),
        ("invest", "As a clerk, I want to read and write and sort, so that A.", "small-several-wishes",
         "I want to read and write and sort,"),
        ("invest", "I want to manage the whole shop.", "small-epic", "manage"),
        ("invest", "It must never fail.", "testable-absolute", "never"),
        ("invest", "As a clerk, I want A, so that I feel safe.", "testable-feeling", "feel"),
        ("invest", "As a clerk, I want A, so that B.", "testable-no-criteria", "As a clerk, I want A, so that B."),
        ("acceptance", "As a clerk, I want A.", "no-criteria", "As a clerk, I want A."),
        ("acceptance", "AC:\n- Given a page, when I print", "incomplete-criterion", "- Given a page, when I print"),
        ("acceptance", "AC:\n- It prints", "not-given-when-then", "- It prints"),
        ("acceptance", "AC:\n- Given a, when b, then it is fast", "not-measurable", "fast"),
        ("acceptance", "AC:\n- Given a, when b, then c", "no-failure-case", "- Given a, when b, then c"),
        ("acceptance", "AC:\n- Given a, when b, then [how it looks]", "unfilled-placeholder", "[how it looks]"),
        ("ambiguity", "It has to be user-friendly.", "vague-ease", "user-friendly"),
        ("ambiguity", "Print names, addresses, etc.", "open-list", "etc."),
        ("ambiguity", "Print and/or mail it.", "and-or", "and/or"),
        ("ambiguity", "Show several pages as needed.", "escape-clause", "as needed"),
        ("ambiguity", "Show several pages as needed.", "vague-amount", "several"),
        ("ambiguity", "Tell me soon.", "vague-time", "soon"),
        ("ambiguity", "The report is sent.", "passive-without-actor", "is sent"),
        ("ambiguity", "It should load faster.", "unquantified-comparative", "faster"),
        ("ambiguity", "It handles errors.", "vague-verb", "handles"),
        ("security", "I want to reset my password.", "password-storage", "password"),
        ("security", "I want to log in.", "login-failure", "log in"),
        ("security", "I want to upload a file.", "upload-size", "upload"),
        ("security", "I want to change my phone number.", "personal-data-access", "phone number"),
        ("security", "I want to pay.", "payment-twice", "pay"),
        ("security", "As an admin, I want to ban people.", "admin-audit", "admin"),
        ("security", "I want to enter a URL.", "url-target", "URL"),
        ("security", "I want to write comments.", "input-output", "comments"),
        ("security", "I want to delete it.", "deletion-undo", "delete"),
        ("accessibility", "I press a button.", "keyboard", "button"),
        ("accessibility", "I fill in a form.", "labels", "fill in"),
        ("accessibility", "I see a photo.", "text-alternative", "photo"),
        ("accessibility", "I play a video.", "captions", "video"),
        ("accessibility", "Errors are red.", "colour-alone", "red"),
        ("accessibility", "I drag a card.", "pointer-alternative", "drag"),
        ("accessibility", "I see a chart.", "chart-alternative", "chart"),
    ],
)  # fmt: skip
def test_rules(name: str, story: str, rule: str, excerpt: str) -> None:
    """Each rule finds what it is about, and quotes it."""
    assert rules(name, story).get(rule) == excerpt


@pytest.mark.parametrize(
    ("name", "story", "rule"),
    [
        ("format", "As a clerk, I want to print, so that I can file what we need.", "several-stories"),
        ("format", "As a clerk, I want my orders, as a file, so that A.", "several-stories"),
        ("ambiguity", "It is fast: within 2 seconds.", "vague-speed"),
        ("ambiguity", "It is 20 % faster than today.", "unquantified-comparative"),
        ("ambiguity", "The report is sent by the clerk.", "passive-without-actor"),
        ("ambiguity", "Breakfast is simple-minded.", "vague-speed"),
        ("acceptance", "AC:\n- Given a, when b, then an error is shown", "no-failure-case"),
        ("security", "Passwords are kept as salted hashes.", "password-storage"),
        ("accessibility", "All buttons work with the keyboard.", "keyboard"),
    ],
)
def test_rules_know_when_to_be_quiet(name: str, story: str, rule: str) -> None:
    """What a story says is not asked for again."""
    assert rule not in rules(name, story)


def test_criteria_that_are_added_follow_the_rules() -> None:
    """What the reviewers add has Given, When and Then in one line, and no word that the reviewer of ambiguity would find."""
    assert len(ADDED) > 25
    wrong: dict[str, list[str]] = {}
    for line in sorted(ADDED):
        assert re.fullmatch(r"Given .+, when .+, then .+\.", line), line
        found = review_ambiguity(f"{CRITERIA}:\n- {line}").findings
        found += [one for one in REVIEWERS["acceptance"](f"{CRITERIA}:\n- {line}").findings if one.rule not in _OPEN]
        if found:
            wrong[line] = [f"{one.rule}: {one.excerpt}" for one in found]
    assert wrong == {}


def test_lines_are_added_to_the_section_that_is_there() -> None:
    """An item goes to the end of its section, wherever that stands, and only once."""
    story = "A\n\n## Acceptance Criteria\n- one\n\n# Notes\nB"
    added = with_lines(story, CRITERIA, ["two", "one"])
    assert added == "A\n\n## Acceptance Criteria\n- one\n- two\n\n# Notes\nB"
    assert [line.bare for line in section(added, CRITERIA) if line.bare] == ["one", "two"]


def test_narratives_have_their_parts() -> None:
    """Two stories in a text are two narratives with their own parts."""
    first, second = narratives("As an editor I want A so that B. As an admin I want to C so that D.")
    assert (first.role, first.wish, first.benefit) == ("an editor", "A", "B")
    assert (second.role, second.wish, second.benefit) == ("an admin", "to C", "D")
