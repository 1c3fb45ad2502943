"""S39: whatever a title, a name, an error or a book says, it is shown as text; the pages' policy lets nothing else happen."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from actors.documents.reading.book import Book, Chapter, Page
from tests.acceptance.served import Served
from tests.acceptance.shelf import PDF, html_of, make_key, own_book
from tests.acceptance.stage import Stage
from tests.browser import Visitor

pytestmark = pytest.mark.timeout(300)

EVIL = "</title></style><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}<a href=javascript:alert(1)>x</a>"
# What a hostile book might look like, had our own conversion let it through.
HOSTILE = f"""<!doctype html><html lang='en"><script>alert(1)</script>'><head><base href="https://evil.example/">
<meta http-equiv="refresh" content="0;url=https://evil.example/"><script>alert(1)</script></head>
<body onload="alert(1)"><main><section id="chapter-1"><h2 onclick="alert(1)">One <b>{EVIL}</b></h2>
<p id="page-1" style="position:fixed;inset:0" onmouseover="alert(1)">Words
<img src="https://evil.example/x.png" onerror="alert(1)"></p>
<iframe src="https://evil.example/"></iframe><svg onload="alert(1)"></svg>
<p><a href="javascript:alert(1)">a link</a><style>body{{display:none}}</style></p></section></main></body></html>"""


def test_hostile_words_are_words(greenroom_on_sqlite: Served, visit: Callable[..., Visitor]) -> None:
    """A script in a file's name, a title, a note, an error and a chapter is read as it stands; nothing of it runs."""
    greenroom = greenroom_on_sqlite
    key, stage = make_key(greenroom), Stage(greenroom.database)
    client = greenroom.client(key)
    book = client.post("/books", files={"file": (f"{EVIL.replace('/', '')}.pdf", PDF)}, data={"title": EVIL}).json()["book"]["id"]
    ann = visit(greenroom.url)
    asked: list[str] = []
    ann.page.on("request", lambda request: asked.append(request.url))
    ann.signs_in(key)
    ann.goes_to(f"/books/{book}")
    expect(ann.page.locator(".title")).to_have_text(EVIL)
    taken = stage.take_one()
    stage.progress(taken, 10, EVIL)
    expect(ann.page.get_by_text(EVIL)).to_have_count(3)  # the shelf, the title, and what the worker notes
    stage.fail(taken, EVIL)
    expect(ann.page.get_by_role("alert")).to_be_visible()

    text = Book(title=EVIL, pages=[Page(1, [EVIL, f"Words: {EVIL}"], [0])], chapters=[Chapter(EVIL, 1)])
    ann.goes_to(f"/books/{own_book(greenroom, key, html_of(text))}")
    expect(ann.page.locator("article").get_by_text(EVIL)).to_have_count(2)
    assert ann.complaints == []
    ann.goes_to(f"/books/{own_book(greenroom, key, HOSTILE)}")
    expect(ann.page.locator("article")).to_contain_text("Words")
    expect(ann.page.locator("article .chapter")).to_have_text("One alert(1){{7*7}}x")
    allowed = "article :not(h3, h4, p, span, nav, a, small)"
    assert ann.page.locator(allowed).count() == 0
    assert ann.page.locator("article [style], article [onclick], article [onmouseover], article a:not([rel])").count() == 0
    assert [url for url in asked if not url.startswith(greenroom.url)] == []
    assert all("Content Security Policy" in complaint or "by policy" in complaint for complaint in ann.complaints)
    ann.complaints.clear()  # what the last book tried was refused
    assert ann.page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("path", ["/books", "/books/anything"])
def test_the_policy_is_strict(greenroom_on_sqlite: Served, path: str) -> None:
    """Nothing inline, nothing from elsewhere, no frame around the page, no text that becomes a script."""
    answer = greenroom_on_sqlite.client().get(f"{greenroom_on_sqlite.url}{path}")
    policy = dict(line.strip().partition(" ")[::2] for line in answer.headers["content-security-policy"].split(";"))
    assert answer.status_code == 200
    assert "unsafe" not in str(policy)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])  # of the style that our conversion writes
    assert policy["require-trusted-types-for"] == "'script'"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_policy_is_kept_by_the_browser(greenroom_on_sqlite: Served, visit: Callable[..., Visitor]) -> None:
    """An inline script, a style attribute, an image from elsewhere and markup out of a text are refused, and heard of."""
    ann = visit(greenroom_on_sqlite.url)
    ann.goes_to("/books")
    ann.page.get_by_label("API key").wait_for()
    ann.page.evaluate(
        """() => {
            const script = document.createElement("script");
            try { script.text = "window.ran = true"; } catch {}
            document.body.append(script);
            document.body.setAttribute("style", "display: none");
            new Image().src = "https://evil.example/x.png";
            try { document.body.innerHTML = "<p>markup</p>"; } catch {}
        }"""
    )
    expect(ann.page.get_by_label("API key")).to_be_visible()
    assert ann.page.evaluate("window.ran") is None
    heard = "\n".join(ann.complaints)
    ann.complaints.clear()
    for directive in ("style-src-attr", "img-src", "require-trusted-types-for"):
        assert f"refused by policy: {directive}" in heard
