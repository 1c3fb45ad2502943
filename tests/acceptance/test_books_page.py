"""The page of books in a real browser: signing in, dropping a PDF, its four stages, and what happens when something is amiss."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from api.settings import ApiSettings
from persistence import books
from persistence.database import Database
from persistence.settings import DatabaseSettings
from tests import factories, factories_pdf
from tests.acceptance.greenroom_up import Up, free_port
from tests.acceptance.served import Served, served
from tests.acceptance.shelf import PDF, TEXT, html_of, make_key, own_book
from tests.acceptance.stage import Stage
from tests.browser import PHONE, Visitor

pytestmark = pytest.mark.timeout(300)

Visit = Callable[..., Visitor]


def test_a_key_opens_the_page_and_is_kept_nowhere(greenroom: Served, visit: Visit) -> None:
    """A wrong key is refused in words; the right one shows the shelf, and no script, store or address ever holds it."""
    ann, key = visit(greenroom.url), make_key(greenroom)
    ann.goes_to("/books")
    ann.page.get_by_label("API key").fill("gr_abcdefgh2345_wrong")
    ann.page.keyboard.press("Enter")
    expect(ann.page.get_by_role("alert")).to_have_text("This key is not valid, or no longer.")
    expect(ann.page.get_by_label("API key")).to_be_focused()

    ann.signs_in(key)

    expect(ann.page.get_by_text("No books yet")).to_be_visible()
    expect(ann.page.locator(".feed-state")).to_have_text("Live")
    places = "document.cookie, {...localStorage}, {...sessionStorage}, location.href, document.body.outerHTML"
    secret = key.split("_", 2)[2]  # a secret may have underscores of its own
    assert secret not in ann.page.evaluate(f"() => JSON.stringify([{places}])")
    (cookie,) = ann.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("greenroom", True, "Strict")
    assert secret not in cookie["value"]
    ann.page.reload()
    expect(ann.page.get_by_role("heading", name="Your books")).to_be_visible()


def test_a_dropped_pdf_moves_through_its_stages(greenroom: Served, visit: Visit) -> None:
    """The book gets its own address, each stage shows what its worker says, and the last one opens the text: all by events."""
    ann, stage = visit(greenroom.url), Stage(greenroom.database)
    ann.signs_in(make_key(greenroom))
    row = {kind: ann.page.locator(f".stage[data-type='{kind}']") for kind in books.STAGES}

    ann.drops(PDF)

    expect(ann.page.locator(".title")).to_have_text("my book")
    expect(row[books.UPLOAD]).to_contain_text("Waits for a worker")
    expect(row[books.EXTRACT]).to_contain_text("Comes later")
    book = ann.page.url.rpartition("/")[2]
    assert book == greenroom.admin.get("/books").json()["items"][0]["id"]
    expect(ann.page.get_by_role("link", name="my book In the making")).to_have_attribute("aria-current", "page")

    taken = stage.take_one()
    expect(row[books.UPLOAD]).to_have_attribute("data-state", "processing")
    stage.finish(taken, result='{"pages":3}', follow_ups=[factories.submission(books.EXTRACT, subject=book)])
    expect(row[books.UPLOAD]).to_contain_text("Done in")
    expect(ann.page.locator("#polite")).to_have_text("Check is done. 1 of 4 stages done.")

    taken = stage.take_one()
    expect(row[books.EXTRACT]).to_have_attribute("data-state", "processing")
    stage.progress(taken, 40, "page 4 of 10")
    expect(row[books.EXTRACT]).to_contain_text("Page 4 of 10")
    expect(row[books.EXTRACT].get_by_role("progressbar", name="Read")).to_have_js_property("value", 40)
    following = [factories.submission(kind, subject=book) for kind in (books.DESCRIBE, books.CONVERT)]
    stage.finish(taken, result='{"pages":3,"chapters":[]}', follow_ups=following)

    describe, convert = stage.take(2)
    expect(row[books.DESCRIBE]).to_have_attribute("data-state", "processing")
    stage.finish(describe, result='{"language":"en"}')
    stage.save_file(convert.id, books.HTML, html_of(TEXT).encode(), "text/html")
    stage.finish(convert, result="{}")

    expect(ann.page.get_by_text("The keeper lit the lamp.")).to_be_visible()
    expect(ann.page.locator("#polite")).to_have_text("my book is ready to read.")
    expect(ann.page.get_by_role("link", name="my book 3 pages")).to_be_visible()


def test_a_book_is_read_by_chapters(greenroom: Served, visit: Visit) -> None:
    """Its address opens it, each chapter has an address of its own, and the browser's buttons lead through them."""
    key = make_key(greenroom)
    book = own_book(greenroom, key)
    ann = visit(greenroom.url)
    ann.signs_in(key)
    ann.page.get_by_role("link", name="The Lamp at the Reef").click()
    expect(ann.page).to_have_url(f"{greenroom.url}/books/{book}")
    expect(ann.page.get_by_text("4 minutes to read")).to_be_visible()
    expect(ann.page.locator("article")).to_have_attribute("lang", "en")
    expect(ann.page.get_by_text("The keeper lit the lamp.")).to_be_visible()

    ann.page.get_by_role("navigation", name="Contents").get_by_role("link", name="Chapter Two").click()

    expect(ann.page).to_have_url(f"{greenroom.url}/books/{book}#chapter-2")
    expect(ann.page.get_by_role("heading", name="Chapter Two")).to_be_focused()
    expect(ann.page.get_by_text("The supply boat came rarely.")).to_be_visible()
    expect(ann.page.get_by_text("The keeper lit the lamp.")).to_have_count(0)
    ann.page.reload()
    expect(ann.page.get_by_text("The supply boat came rarely.")).to_be_visible()
    ann.page.go_back()
    expect(ann.page.get_by_text("The keeper lit the lamp.")).to_be_visible()
    ann.page.go_back()
    expect(ann.page.get_by_text("Choose a book to read")).to_be_visible()
    with ann.page.expect_download() as saved:
        ann.goes_to(f"/books/{book}")
        ann.page.get_by_role("link", name="Save as HTML").click()
    assert "The keeper lit the lamp." in Path(saved.value.path()).read_text()


def test_a_book_can_be_deleted(greenroom: Served, visit: Visit) -> None:
    """Only after a question, which Escape answers with no; then it is gone, and its address says so."""
    key = make_key(greenroom)
    book = own_book(greenroom, key)
    ann = visit(greenroom.url)
    ann.signs_in(key)
    ann.goes_to(f"/books/{book}")
    delete = ann.page.get_by_role("button", name="Delete")
    delete.click()
    expect(ann.page.get_by_role("button", name="Keep it")).to_be_focused()
    ann.page.keyboard.press("Escape")
    expect(ann.page.get_by_role("dialog")).to_have_count(0)
    expect(delete).to_be_focused()

    delete.click()
    ann.page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    expect(ann.page.get_by_text("No books yet")).to_be_visible()
    assert greenroom.admin.get("/books").json()["items"] == []
    ann.goes_to(f"/books/{book}")
    expect(ann.page.get_by_role("heading", name="There is no such book")).to_be_visible()


@pytest.mark.parametrize(
    ("content", "tier", "says"),
    [
        pytest.param(b"%PDF-" + b"x" * 3_000_000, "pro", "file: larger than 1000000 bytes", id="too large"),
        pytest.param(b"%PDF-" + b"x" * 1_000_100, "pro", "file: larger than 1000000 bytes", id="a little too large"),
        pytest.param(b"no PDF at all", "pro", "file: not a PDF", id="not a PDF"),
        pytest.param(b"<html>" + b"x" * 900_000, "pro", "file: not a PDF", id="large and not a PDF"),
        pytest.param(PDF, "free", "unfinished", id="quota"),
    ],
)
def test_what_is_refused_is_said_in_the_api_s_own_words(
    sqlite_database: str, visit: Visit, content: bytes, tier: str, says: str
) -> None:
    """The sentence of the API stands beside the file's name until it is dismissed, and the next file is taken."""
    with served(sqlite_database, settings=ApiSettings(port=0, upload_bytes=1_000_000)) as greenroom:
        key = make_key(greenroom, tier=tier)
        client = greenroom.client(key)
        if tier == "free":
            assert client.post("/books", files={"file": ("first.pdf", PDF)}).status_code == 201
        told = client.post("/books", files={"file": ("bad.pdf", content)}).json()
        assert says in told["detail"]
        ann = visit(greenroom.url)
        ann.signs_in(key)

        ann.drops(content, "bad.pdf")

        upload = ann.page.get_by_role("listitem").filter(has_text="bad.pdf")
        expect(upload.get_by_role("alert")).to_contain_text(told["detail"])
        upload.get_by_role("button", name="Dismiss").click()
        expect(upload).to_have_count(0)
        if tier != "free":
            ann.drops(PDF, "good.pdf")
            expect(ann.page.locator(".title")).to_have_text("good")


def test_a_book_that_cannot_be_made_says_why(greenroom: Served, visit: Visit) -> None:
    """The worker's own sentence is shown, and which stage it was."""
    ann, stage = visit(greenroom.url), Stage(greenroom.database)
    ann.signs_in(make_key(greenroom))
    ann.drops(PDF)
    expect(ann.page.locator(f".stage[data-type='{books.UPLOAD}']")).to_contain_text("Waits for a worker")

    stage.fail(stage.take_one())

    error = greenroom.admin.get("/books").json()["items"][0]["error"]["message"]
    expect(ann.page.get_by_role("alert").filter(has_text=error)).to_be_visible()
    expect(ann.page.locator(f".stage[data-type='{books.UPLOAD}']")).to_have_attribute("data-state", "failed")
    expect(ann.page.locator(f".stage[data-type='{books.EXTRACT}']")).to_contain_text("Not begun")


def test_signing_out_ends_it_in_every_tab(greenroom: Served, visit: Visit) -> None:
    """No tab shows anything any more, nor does the button back, and the old cookie opens nothing."""
    key = make_key(greenroom)
    book = own_book(greenroom, key)
    ann = visit(greenroom.url)
    ann.signs_in(key)
    other = ann.tab()
    other.goto(f"{greenroom.url}/books/{book}")
    expect(other.get_by_text("The keeper lit the lamp.")).to_be_visible()
    (cookie,) = ann.context.cookies()

    ann.page.get_by_role("button", name="Sign out").click()

    for page in (ann.page, other):
        expect(page.get_by_label("API key")).to_be_visible()
        expect(page.get_by_text("Lamp at the Reef")).to_have_count(0)
    other.go_back()
    other.go_forward()
    expect(other.get_by_label("API key")).to_be_visible()
    assert ann.context.cookies() == []
    with_cookie = greenroom.client(Cookie=f"greenroom={cookie['value']}")
    assert with_cookie.get("/books").status_code == 401


def test_a_revoked_key_ends_the_page(greenroom: Served, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a click the page notices, by the end of its stream, and says that the session is over."""
    monkeypatch.setattr("api.events.PING_SECONDS", 0.1)
    greenroom.put_user("ann")
    made = greenroom.make_key("ann")
    ann = visit(greenroom.url)
    ann.signs_in(made["key"])
    expect(ann.page.locator(".feed-state")).to_have_text("Live")

    greenroom.admin.delete(f"/keys/{made['id']}")

    expect(ann.page.get_by_label("API key")).to_be_visible()
    expect(ann.page.get_by_text("Your session is over.")).to_be_visible()


def test_the_stream_comes_back(sqlite_database: str, visit: Visit) -> None:
    """While the server is away the page says so and keeps what it shows; back again, it shows what it missed."""
    settings = ApiSettings(port=free_port(), admin_key=SecretStr("an-operators-own-choice-of-a-key-0001"))
    apart = Database(DatabaseSettings(), url=sqlite_database)
    with served(sqlite_database, settings=settings) as greenroom:
        ann, stage = visit(greenroom.url), Stage(apart)
        ann.signs_in(make_key(greenroom))
        ann.drops(PDF)
        expect(ann.page.locator(".feed-state")).to_have_text("Live")
        checking = ann.page.locator(f".stage[data-type='{books.UPLOAD}']")
        expect(checking).to_contain_text("Waits for a worker")
    expect(ann.page.locator(".feed-state")).to_have_text("Reconnecting …")
    expect(ann.page.locator("#polite")).to_have_text("The connection was lost. Reconnecting.")
    stage.finish(stage.take_one(), result='{"pages":3}', follow_ups=[])
    expect(checking).to_contain_text("Waits for a worker")

    with served(sqlite_database, settings=settings):
        expect(ann.page.locator(".feed-state")).to_have_text("Live")
        expect(checking).to_contain_text("Done in")
        ann.page.goto("about:blank")
    apart.close()


def test_a_real_pdf_becomes_a_book_to_read(tmp_path: Path, visit: Visit) -> None:
    """With real workers: a PDF is dropped, four stages go by, and its last chapter can be read."""
    up = Up(tmp_path / "up")
    try:
        up.wait_for("Greenroom is running")
        up.call("PUT", "/api/v1/users/ann", json={"tenant": "acme", "tier": "pro"}).raise_for_status()
        ann = visit(f"http://127.0.0.1:{up.port}")
        ann.signs_in(up.call("POST", "/api/v1/users/ann/keys").json()["key"])

        ann.drops(factories_pdf.long_book(pages=60, outline=True), "the lamp.pdf")

        expect(ann.page.get_by_role("navigation", name="Contents")).to_be_visible(timeout=90_000)
        ann.page.get_by_role("navigation", name="Contents").get_by_role("link", name="Chapter 6").click()
        expect(ann.page.locator("article")).to_contain_text("Nobody on the mainland knew how many storms")
        ann.page.get_by_text("How it was made").click()
        expect(ann.page.locator(".stage[data-state='completed']")).to_have_count(4)
    finally:
        up.close()


def test_a_page_that_arrives_in_part_says_so(greenroom_on_sqlite: Served, visit: Visit) -> None:
    """When one of its scripts is lost on the way, the page says that and can be loaded again, and does not open for ever."""
    ann = visit(greenroom_on_sqlite.url)
    ann.page.route("**/books/drop.js", lambda route: route.abort())
    ann.goes_to("/books")
    expect(ann.page.get_by_role("alert")).to_have_text("This page has not arrived whole.")
    ann.page.unroute("**/books/drop.js")

    ann.page.get_by_role("button", name="Load it again").click()

    expect(ann.page.get_by_label("API key")).to_be_visible()


def test_the_page_loads_nothing_from_elsewhere(greenroom_on_sqlite: Served, visit: Visit) -> None:
    """Every request of the page goes to the server that it came from, and what it is made of may be kept by the browser."""
    key = make_key(greenroom_on_sqlite)
    book = own_book(greenroom_on_sqlite, key)
    ann = visit(greenroom_on_sqlite.url)
    requested: list[str] = []
    ann.page.on("request", lambda request: requested.append(request.url))
    ann.signs_in(key)
    ann.goes_to(f"/books/{book}")
    expect(ann.page.get_by_text("The keeper lit the lamp.")).to_be_visible()
    assert len(requested) > 15
    assert [url for url in requested if not url.startswith(greenroom_on_sqlite.url)] == []
    script = next(url for url in requested if url.endswith("/books/main.js"))
    answer = greenroom_on_sqlite.client().get(script)
    assert "immutable" in answer.headers["cache-control"]
    older = greenroom_on_sqlite.client().get(script.replace(script.split("/")[-3], "0123456789ab"))
    assert (older.content, older.headers["cache-control"]) == (answer.content, "no-store")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 860}, PHONE, {"width": 320, "height": 568}])
def test_everybody_can_use_it(greenroom_on_sqlite: Served, visit: Visit, scheme: str, viewport: dict[str, int]) -> None:
    """Signing in, the shelf, a book in the making and one to read have no fault that axe knows, and never scroll sideways."""
    from axe_playwright_python.sync_playwright import Axe

    key = make_key(greenroom_on_sqlite)
    book = own_book(greenroom_on_sqlite, key)
    made = greenroom_on_sqlite.client(key).post("/books", files={"file": ("b" * 90 + ".pdf", PDF)}).json()["book"]["id"]
    ann = visit(greenroom_on_sqlite.url, color_scheme=scheme, viewport=viewport)
    ann.goes_to("/books")
    ann.page.get_by_label("API key").wait_for()
    check(Axe(), ann)
    ann.signs_in(key)
    for path, words in (("", "My Shelf"), (f"/{made}", "Waits for a worker"), (f"/{book}", "The keeper lit the lamp.")):
        ann.goes_to(f"/books{path}")
        ann.page.get_by_text(words if path else "Your books").wait_for()
        check(Axe(), ann)


def check(axe: object, visitor: Visitor) -> None:
    """Look for what keeps people out."""
    found = axe.run(visitor.page)  # type: ignore[attr-defined]
    assert found.violations_count == 0, found.generate_report()
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_is_enough(greenroom_on_sqlite: Served, visit: Visit) -> None:
    """Tab by tab from the address to a book and its second chapter, with the focus always to be seen."""
    key = make_key(greenroom_on_sqlite)
    own_book(greenroom_on_sqlite, key)
    ann = visit(greenroom_on_sqlite.url)
    ann.goes_to("/books")
    expect(ann.page.get_by_label("API key")).to_be_focused()
    ann.page.keyboard.insert_text(key)
    ann.page.keyboard.press("Enter")
    expect(ann.page.get_by_role("heading", name="Your books")).to_be_focused()
    ann.page.reload()
    ann.page.get_by_role("link", name="The Lamp at the Reef").wait_for()

    reached = tab_to(ann, "book-list")
    ann.page.keyboard.press("Enter")
    ann.page.get_by_text("The keeper lit the lamp.").wait_for()
    reached += tab_to(ann, "turns")
    ann.page.keyboard.press("Enter")

    expect(ann.page.get_by_text("The supply boat came rarely.")).to_be_visible()
    assert "skip" in reached[0]
    assert [place for place in reached if place.endswith("not seen")] == []


def tab_to(visitor: Visitor, place: str) -> list[str]:
    """Press Tab until the focus is inside an element of a class; gives each place on the way, and whether it could be seen."""
    look = """(wanted) => {
        const at = document.activeElement;
        const shown = at.type === "file" ? at.parentElement : at;
        const seen = getComputedStyle(shown).outlineStyle !== "none" ? "seen" : "not seen";
        return [Boolean(at.closest("." + wanted)), `${at.localName}.${at.className} ${seen}`];
    }"""
    reached = []
    for _ in range(40):
        visitor.page.keyboard.press("Tab")
        is_there, where = visitor.page.evaluate(look, place)
        reached.append(where)
        if is_there:
            return reached
    raise AssertionError(f"the focus never came to .{place}: {reached}")


def test_motion_is_only_for_those_who_like_it(greenroom_on_sqlite: Served, visit: Visit) -> None:
    """With reduced motion nothing moves by itself; without, the stage under way does."""
    key = make_key(greenroom_on_sqlite)
    book = greenroom_on_sqlite.client(key).post("/books", files={"file": ("b.pdf", PDF)}).json()["book"]["id"]
    Stage(greenroom_on_sqlite.database).take_one()
    moves = {}
    for wish in ("reduce", "no-preference"):
        ann = visit(greenroom_on_sqlite.url, reduced_motion=wish)
        ann.signs_in(key)
        ann.goes_to(f"/books/{book}")
        mark = ann.page.locator(".stage[data-state='processing'] .stage-mark")
        moves[wish] = mark.evaluate("(element) => getComputedStyle(element).animationName")
    assert moves == {"reduce": "none", "no-preference": "breathe"}
