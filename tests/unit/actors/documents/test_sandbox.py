"""The reader's process: what it may use, how it ends, and that its worker lives on (SECURITY S46)."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from dramatiq.middleware import TimeLimitExceeded
from dramatiq.middleware.threading import raise_thread_exception

from actors.documents import sandbox
from actors.documents.errors import ReaderFailedError, ReaderTimeoutError, UnreadableDocumentError
from actors.documents.reading.book import Book, Converted, Described, Extracted, Inspected
from tests import factories_pdf

MIB = 1024 * 1024
ROOT = Path(__file__).parents[4]


def all_children() -> set[int]:
    """Return the ids of this process's children, the dead that nobody has waited for included."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


@pytest.fixture(autouse=True)
def _others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the children that were there before the test, such as the keeper of the other tests' PostgreSQL."""
    monkeypatch.setitem(_BEFORE, "ids", all_children())


_BEFORE: dict[str, set[int]] = {"ids": set()}


def children() -> set[int]:
    """Return the ids of the children that this test has made."""
    return all_children() - _BEFORE["ids"]


def test_the_four_commands_make_a_book() -> None:
    """What each command makes is what the next one reads, and every page is reported by each of them."""
    # given
    progress: list[tuple[int, int]] = []

    def report(page: int, of: int) -> None:
        progress.append((page, of))

    # when
    source = factories_pdf.book(chapters=4)
    inspected = sandbox.read("inspect", source, progress=report)
    extracted = sandbox.read("extract", source, progress=report, title="Lamps")
    described = sandbox.read("describe", extracted.output, progress=report)
    converted = sandbox.read("convert", extracted.output, progress=report)

    # then
    assert inspected.result_as(Inspected).pages == 4
    assert extracted.result_as(Extracted).chapter_count == 4
    assert msgspec.json.decode(extracted.output, type=Book).title == "Lamps"
    assert described.result_as(Described).language == "en"
    assert "lighthouse keeper" in described.result_as(Described).key_phrases
    assert converted.result_as(Converted).bytes == len(converted.output)
    assert b"<title>Lamps</title>" in converted.output
    assert progress == [(page, 4) for _ in range(4) for page in range(1, 5)]


def test_languages_are_told_apart() -> None:
    """A book in German with an English part says both, the longer one first, and its phrases are German."""
    # given
    document = factories_pdf.pdf()
    for sentences in (factories_pdf.GERMAN, factories_pdf.GERMAN, factories_pdf.SENTENCES):
        document.add_page()
        factories_pdf.prose(document, " ".join(sentences))
    text = sandbox.read("extract", factories_pdf.finished(document)).output

    # when
    described = sandbox.read("describe", text).result_as(Described)

    # then
    assert [share.code for share in described.languages] == ["de", "en"]
    assert described.language == "de"
    assert any("Leuchtturm" in phrase for phrase in described.key_phrases)


def test_a_book_without_text_goes_all_the_way() -> None:
    """Scanned pages have no language and no phrases, and their HTML tells why it is empty."""
    # given
    text = sandbox.read("extract", factories_pdf.without_text()).output

    # when
    described = sandbox.read("describe", text).result_as(Described)
    html = sandbox.read("convert", text).output

    # then
    assert (described.language, described.key_phrases, described.words) == (None, [], 0)
    assert b"scanned" in html


@pytest.mark.parametrize(
    "bomb",
    [factories_pdf.decompression_bomb(megabytes=2_000), factories_pdf.form_bomb()],
    ids=["decompression", "forms"],
)
def test_a_memory_bomb_dies_within_its_limit(bomb: bytes) -> None:
    """A few kilobytes that want gigabytes end their reader below its limit; the worker reads the next book."""
    # when
    with pytest.raises(UnreadableDocumentError) as refused:
        sandbox.read("extract", bomb, limits=sandbox.Limits(memory_bytes=256 * MIB))

    # then
    assert refused.value.code in {"crashed", "out_of_memory"}
    assert "256 MiB" in refused.value.message
    assert sandbox.read("extract", factories_pdf.book()).result_as(Extracted).pages == 3
    assert children() == set()


def test_endless_work_dies_at_its_processor_time() -> None:
    """A page that computes on and on is stopped, says so, and is the document's fault: no retry."""
    with pytest.raises(UnreadableDocumentError, match="more than 1 seconds") as refused:
        sandbox.read("extract", factories_pdf.endless_work(), limits=sandbox.Limits(cpu_seconds=1))
    assert refused.value.code == "too_slow"


def test_a_busy_machine_is_not_the_documents_fault() -> None:
    """Time on the wall without processor time used up leaves the book another attempt."""
    with pytest.raises(ReaderTimeoutError):
        sandbox.read("extract", factories_pdf.long_book(pages=2_000), limits=sandbox.Limits(wall_seconds=0.0))
    assert children() == set()


def test_the_output_has_a_limit() -> None:
    """More text than is kept is refused as such."""
    with pytest.raises(UnreadableDocumentError) as refused:
        sandbox.read("extract", factories_pdf.long_book(pages=50), limits=sandbox.Limits(output_bytes=10_000))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"", "empty"),
        (b"<html>", "not_a_pdf"),
        (factories_pdf.encrypted(), "encrypted"),
        (factories_pdf.truncated(), "broken"),
        (factories_pdf.page_tree_loop(), "empty"),
        (factories_pdf.deep_page_tree(), "broken"),
        (factories_pdf.deep_nesting(), "empty"),
    ],
)
def test_unreadable_documents_are_refused_across_the_process_border(source: bytes, code: str) -> None:
    """Code and sentence reach the worker, and the error is one that is not tried again."""
    with pytest.raises(UnreadableDocumentError) as refused:
        sandbox.read("inspect", source)
    assert refused.value.code == code


def test_text_that_was_tampered_with_is_refused() -> None:
    """Describe and convert take what extract wrote and nothing else."""
    with pytest.raises(UnreadableDocumentError) as refused:
        sandbox.read("convert", b'{"pages": "none"}')
    assert refused.value.code == "not_extracted"


def test_a_reader_that_cannot_start_is_not_the_documents_fault() -> None:
    """Limits that do not even let the reader begin are a failure to try again, with what it said for the record."""
    with pytest.raises(ReaderFailedError) as failed:
        sandbox.read("inspect", factories_pdf.book(), limits=sandbox.Limits(memory_bytes=30 * MIB))
    assert "Error" in "".join(failed.value.__notes__) or failed.value.__notes__


def test_memory_of_a_long_book() -> None:
    """A hundred full pages are read in a process far below its limit."""
    reading = sandbox.read("extract", factories_pdf.long_book(pages=100))
    assert 0 < reading.memory_bytes < 100 * MIB


def test_a_cancelled_job_ends_its_reader() -> None:
    """What `check` raises comes through, and no reader is left."""

    class CancelledError(Exception):
        pass

    seen = threading.Event()

    def check() -> None:
        if seen.is_set():
            raise CancelledError

    with pytest.raises(CancelledError):
        sandbox.read("extract", factories_pdf.long_book(pages=3_000), progress=lambda _p, _o: seen.set(), check=check)
    assert children() == set()


def test_a_time_limit_thrown_into_the_thread_ends_the_reader() -> None:
    """Dramatiq raises in the working thread from outside; the reader does not outlive that."""
    # given
    begun, outcome = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            sandbox.read("extract", factories_pdf.long_book(pages=3_000), progress=lambda _p, _o: begun.set())
        except TimeLimitExceeded as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(20)

    # when
    raise_thread_exception(thread.ident, TimeLimitExceeded)  # type: ignore[no-untyped-call]
    thread.join(20)

    # then
    assert [type(error) for error in outcome] == [TimeLimitExceeded]
    assert children() == set()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_worker_takes_its_reader_along() -> None:
    """A kill -9 of a worker in the middle of a book leaves no reader behind."""
    # given
    program = (
        "from actors.documents import sandbox\nfrom tests import factories_pdf\n"
        "sandbox.read('extract', factories_pdf.long_book(pages=5000), progress=lambda p, o: print(p, flush=True))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "1\n"
    (reader,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    handle = os.pidfd_open(int(reader))

    # when
    worker.send_signal(signal.SIGKILL)

    # then
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    worker.communicate()
    assert ended


def test_the_reader_sees_nothing_of_the_workers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and addresses stay in the worker: the reader's environment is written out, not inherited."""
    # given
    monkeypatch.setenv("GREENROOM_ADMIN_KEY", "canary")
    environments: list[bytes] = []

    def look(_page: int, _of: int) -> None:
        for child in children():
            with contextlib.suppress(
                ProcessLookupError, FileNotFoundError
            ):  # it may have ended with its words still on their way
                environments.append(Path(f"/proc/{child}/environ").read_bytes())

    # when
    sandbox.read("extract", factories_pdf.long_book(pages=30), progress=look)

    # then
    assert environments
    assert not any(b"canary" in environment or b"GREENROOM" in environment for environment in environments)


def test_the_worker_never_loads_the_parsers() -> None:
    """Importing the job types loads no PDF library, no language model and none of the reader's commands."""
    program = (
        "import sys, actors.documents.jobs\n"
        "print([name for name in ('pypdfium2', 'fasttext', 'yake_rust') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
