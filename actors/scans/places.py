"""Places: where a repository may be read from. A local path or a URL is judged when it is given and again when it is read."""

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from actors.settings import ScanSettings
from middleware import targets
from middleware.targets import Address, Target, TargetRefusedError

_LONGEST = 2000
_GIT_PORT = 9418
# To curl a pin that begins with a minus takes one away.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_INCLUDES = re.compile(r"^\s*\[\s*include", re.IGNORECASE | re.MULTILINE)
_DEEPEST = 5  # git goes no further from one borrowed folder to the next
# One sentence for all of them: it is no map of the machine's folders.
_NOT_ALLOWED = "is not in a folder that GREENROOM_SCAN_ALLOW names"


class PlaceRefusedError(Exception):
    """A repository may not be read from there; the message says why, in words that its owner may read."""


@dataclass(frozen=True, slots=True)
class Place:
    """What git is told.

    :param url: a path or a URL with a host that was checked.
    :param protocol: the only one that git may speak.
    :param pinned: `HOST:PORT:ADDRESS`, so that git connects to the very address that was checked.
    """

    url: str
    protocol: str
    pinned: str | None = None


def check(url: str, settings: ScanSettings) -> None:
    """See whether a place may be tracked; names are not looked up yet.

    :raises PlaceRefusedError: it may not.
    """
    path = _path(url)
    if path is not None:
        _allowed(path, settings)
        return
    target = _target(url)
    try:
        targets.check(target, [] if target.address is None else [target.address], allowed=settings.networks)
    except TargetRefusedError as refusal:
        # A name may turn out to be that of an allowed network, which only looking it up will tell.
        if target.address is not None or not settings.networks:
            raise PlaceRefusedError(str(refusal)) from None


def locate(url: str, settings: ScanSettings) -> Place | None:
    """Find out where a repository is to be read from at this moment.

    :returns: None when the host's name is not known at the moment.
    :raises PlaceRefusedError: it may not be read from there.
    """
    path = _path(url)
    if path is not None:
        try:
            return Place(str(_repository(_allowed(path, settings), settings)), "file")
        except OSError:
            raise PlaceRefusedError("cannot be read by the worker") from None
    target = _target(url)
    addresses = [target.address] if target.address is not None else _resolve(target.host, target.port)
    if not addresses:
        return None
    try:
        targets.check(target, addresses, allowed=settings.networks)
    except TargetRefusedError as refusal:
        raise PlaceRefusedError(str(refusal)) from None
    address = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])  # noqa: PLR2004 - of IP
    if target.scheme == "git":
        # git's own protocol knows no certificates: the address may stand for the name.
        rest = target.url.split("/", 3)[3]
        return Place(f"git://{address}:{target.port}/{rest}", "git")
    pinned = None if target.address is not None else f"{target.host}:{target.port}:{address}"
    return Place(target.url, target.scheme, pinned)


def _path(url: str) -> Path | None:
    """Take the path out of a local place; None for a URL."""
    if len(url) > _LONGEST or not url.isprintable():
        raise PlaceRefusedError(f"needs to be a URL or an absolute path of at most {_LONGEST} printable characters")
    if url.startswith("/"):
        return Path(url)
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() == "file":
        host, slash, path = rest.partition("/")
        if host not in {"", "localhost"} or not slash:
            raise PlaceRefusedError("needs to be of the form file:///folder")
        plain = unquote(path)
        if not plain.isprintable():
            raise PlaceRefusedError("needs to be of the form file:///folder")
        return Path("/" + plain)
    if not separator or scheme not in {"https", "http", "git"}:
        raise PlaceRefusedError("needs to be of the form https://host/path, or the absolute path of a folder")
    return None


def _allowed(path: Path, settings: ScanSettings) -> Path:
    """Follow all links of a path, and see that it ends in an allowed folder."""
    try:
        real = path.resolve()
        if any(real.is_relative_to(folder.resolve()) for folder in settings.allow):
            return real
    except (OSError, RuntimeError):
        pass
    raise PlaceRefusedError(_NOT_ALLOWED)


def _repository(path: Path, settings: ScanSettings) -> Path:
    """Find the repository itself in a folder: where there is none git would look in all folders above."""
    inner = path / ".git"
    found = _allowed(inner if inner.exists() else path, settings)
    if not ((found / "HEAD").is_file() and (found / "objects").is_dir() and (found / "refs").is_dir()):
        raise PlaceRefusedError("is not a git repository")
    # What is in it may not lead out of the allowed folders either.
    if (found / "commondir").exists():
        raise PlaceRefusedError("is a linked work tree; give the repository itself")
    _stays_inside(found, settings)
    for config in (found / "config", found / "config.worktree"):
        if config.is_file() and _INCLUDES.search(config.read_text(errors="replace")):
            raise PlaceRefusedError("has a configuration that includes other files")
    borrowed = [found / "objects"]
    for _ in range(_DEEPEST):
        borrowed = [folder for objects in borrowed for folder in _alternates(objects)]
        for folder in borrowed:
            _stays_inside(_allowed(folder, settings), settings)
    return found


def _stays_inside(folder: Path, settings: ScanSettings) -> None:
    """See that no link in a folder, or in those that its links lead to, leads out of the allowed ones."""
    seen, left = {folder}, [folder]
    while left:
        for place, folders, files in os.walk(left.pop()):
            links = [path for path in (Path(place, name) for name in (*folders, *files)) if path.is_symlink()]
            new = {real for real in (_allowed(path, settings) for path in links) if real.is_dir()} - seen
            seen |= new
            left += new


def _alternates(objects: Path) -> list[Path]:
    """List the folders from which a folder of objects borrows."""
    file = objects / "info" / "alternates"
    if not file.exists():
        return []
    lines = file.read_text(errors="replace").splitlines()
    return [objects / line.strip('"') for line in lines if line and not line.startswith("#")]


def _target(url: str) -> Target:
    is_git = url.startswith("git://")
    try:
        target = targets.parse("http" + url.removeprefix("git") if is_git else url)
    except TargetRefusedError as refusal:
        raise PlaceRefusedError(str(refusal)) from None
    if target.address is None and not _HOST.fullmatch(target.host):
        raise PlaceRefusedError("has a host that is neither a name nor an address")
    if len(url.split("/", 3)) < 4 or not url.split("/", 3)[3]:  # noqa: PLR2004 - scheme, nothing, host and path
        raise PlaceRefusedError("needs to be of the form https://host/path")
    if not is_git:
        return target
    has_port = target.url.split("/")[2].rpartition(":")[2].isdigit()
    return Target(url, "git", target.host, target.port if has_port else _GIT_PORT)


def _resolve(host: str, port: int) -> list[Address]:
    """List the addresses of a name, each once; none when the name is not known."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos))
