"""Books for tests of the pages: uploaded, and led through their four stages by hand."""

from actors.documents.reading import markup
from actors.documents.reading.book import Book, Chapter, Page
from persistence import books
from tests import factories, factories_pdf
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage

PDF = factories_pdf.book(chapters=2)
TITLE = "The Lamp at the Reef"
TEXT = Book(
    title=TITLE,
    pages=[
        Page(1, ["Chapter One", "The keeper lit the lamp."], [0]),
        Page(2, ["He wrote down the weather."]),
        Page(3, ["Chapter Two", "The supply boat came rarely."], [0]),
    ],
    chapters=[Chapter("Chapter One", 1), Chapter("Chapter Two", 3)],
)


def html_of(text: Book) -> str:
    """Write a book's HTML as its last stage does."""
    return "".join(part for _, part in markup.document(text, language="en"))


def make_book(stage: Stage, book: str, html: str) -> None:
    """Lead a book that has been uploaded through its four stages."""
    found = f'{{"pages":3,"title":"{TITLE}"}}'
    stage.finish(stage.take_one(), result=found, follow_ups=[factories.submission(books.EXTRACT, subject=book)])
    following = [factories.submission(kind, subject=book) for kind in (books.DESCRIBE, books.CONVERT)]
    stage.finish(stage.take_one(), result='{"pages":3,"chapters":[]}', follow_ups=following)
    described = '{"language":"en","reading_minutes":4,"key_phrases":["supply boat","northern reef"]}'
    stage.finish(stage.take_one(), result=described)
    taken = stage.take_one()
    stage.save_file(taken.id, books.HTML, html.encode(), "text/html")
    stage.finish(taken, result="{}")


def own_book(greenroom: Served, key: str, html: str | None = None, **fields: str) -> str:
    """Make a book of a user's own without any browser; gives its id."""
    answer = greenroom.client(key).post("/books", files={"file": ("a_book.pdf", PDF)}, data=fields)
    book: str = answer.json()["book"]["id"]
    make_book(Stage(greenroom.database), book, html_of(TEXT) if html is None else html)
    return book


def make_key(greenroom: Served, name: str = "ann", **words: str) -> str:
    """Make a user with a key."""
    greenroom.put_user(name, **words)
    return greenroom.make_key(name)["key"]
