"""Git servers of this machine: a folder by HTTP, as servers of the old kind do it, and one whose answers are the test's own."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

_END = b"0000"
_NEXT_PART = b"0001"
_TREE = b""
_KINDS = {"commit": 1, "tree": 2}


@contextmanager
def served_folder(folder: Path) -> Iterator[int]:
    """Serve a folder by HTTP, and give the port."""

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with running(Files) as port:
        yield port


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run a server of this machine, and give its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def elsewhere(uri: str) -> Iterator[int]:
    """Serve a pull request of whose pack a part is said to be at another address, which nobody asked for, and give the port."""
    tree = _id("tree", _TREE)
    commit = f"tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n".encode()
    pack = b"PACK" + struct.pack(">II", 2, 2) + _packed("tree", _TREE) + _packed("commit", commit)
    pack += hashlib.sha1(pack).digest()  # noqa: S324 - git's
    refs = (
        f"{_id('commit', commit)} {name}\n"
        for name in ("HEAD symref-target:refs/heads/main", "refs/heads/main", "refs/pull/1/head")
    )
    listed = b"".join(map(_line, refs)) + _END
    parts = [_line("packfile-uris\n"), _line(f"{'a' * 40} {uri}\n"), _NEXT_PART, _line("packfile\n"), _line(b"\x01" + pack), _END]

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            able = map(_line, ("version 2\n", "ls-refs\n", "fetch\n", "object-format=sha1\n"))
            self._say("advertisement", _line("# service=git-upload-pack\n") + _END + b"".join(able) + _END)

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            asked = zlib.decompress(asked, 31) if self.headers.get("Content-Encoding") == "gzip" else asked
            self._say("result", listed if b"command=ls-refs" in asked else b"".join(parts))

        def _say(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"application/x-git-upload-pack-{kind}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with running(Server) as port:
        yield port


def _line(text: str | bytes) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return b"%04x" % (len(content) + 4) + content


def _id(kind: str, content: bytes) -> str:
    return hashlib.sha1(kind.encode() + b" %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's


def _packed(kind: str, content: bytes) -> bytes:
    """Write an object as it stands in a pack: its kind and size, seven bits a byte, and its content."""
    size, first = len(content) >> 4, _KINDS[kind] << 4 | len(content) & 15
    head = bytearray()
    while size:
        head.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    head.append(first)
    return bytes(head) + zlib.compress(content)
