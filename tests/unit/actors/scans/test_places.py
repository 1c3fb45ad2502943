"""Places: a repository is judged where it lies and where its name leads at the moment at which it is read."""

import ipaddress
from pathlib import Path

import pytest

from actors.scans import places
from actors.scans.places import PlaceRefusedError
from actors.settings import GitHubSettings, ScanSettings
from persistence.environment import SettingsError, load
from tests import factories_git

NONE = ScanSettings()
LOOPBACK = ScanSettings(networks="127.0.0.0/8,::1/128")  # type: ignore[arg-type]


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name lead to these addresses."""
    monkeypatch.setattr(places, "_resolve", lambda host, port: [ipaddress.ip_address(address) for address in addresses])


def test_a_name_is_pinned_to_its_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is told the address that was checked, of either kind."""
    resolves(monkeypatch, "93.184.216.34", "2606:2800:220:1::1")
    place = places.locate("https://example.org/acme/site.git", NONE)
    assert place == places.Place("https://example.org/acme/site.git", "https", "example.org:443:93.184.216.34")
    resolves(monkeypatch, "2606:2800:220:1::1")
    place = places.locate("https://example.org/acme/site.git", NONE)
    assert place is not None
    assert place.pinned == "example.org:443:[2606:2800:220:1::1]"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"]
)
def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """S31, S32: one private address among a name's is enough, and the words are the same for all of them."""
    resolves(monkeypatch, "93.184.216.34", address)
    with pytest.raises(PlaceRefusedError, match="^the host has no public address$"):
        places.locate("https://example.org/site.git", NONE)


@pytest.mark.parametrize(
    "url",
    [
        "https://-x.example/site.git",
        "https://example.org./site.git",
        "git://example.org./site.git",
        "https://xn--a.example/site.git",
    ],
)
def test_a_name_that_is_another_to_git_is_refused(url: str) -> None:
    """S31: git would look up the name with its dot, for which nothing is pinned; and to curl a minus takes a pin away."""
    for judge in (places.check, places.locate):
        with pytest.raises(PlaceRefusedError):
            judge(url, LOOPBACK)


def test_an_unknown_name_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads nowhere is no reason to give up for good."""
    resolves(monkeypatch)
    assert places.locate("https://example.org/site.git", NONE) is None


def test_allowed_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an allowed network http, other ports and git's own protocol are spoken, the last one with the address itself."""
    resolves(monkeypatch, "127.0.0.1")
    place = places.locate("http://git.lan:8080/site.git", LOOPBACK)
    assert place == places.Place("http://git.lan:8080/site.git", "http", "git.lan:8080:127.0.0.1")
    assert places.locate("git://git.lan/a/site.git", LOOPBACK) == places.Place("git://127.0.0.1:9418/a/site.git", "git")
    assert places.locate("git://[::1]:9/site.git", LOOPBACK) == places.Place("git://[::1]:9/site.git", "git")
    resolves(monkeypatch, "10.0.0.1")
    with pytest.raises(PlaceRefusedError):
        places.locate("http://git.lan:8080/site.git", LOOPBACK)


def test_a_work_tree_and_a_bare_repository(tmp_path: Path) -> None:
    """The repository of a work tree is its `.git`; what only lies inside of one is none."""
    factories_git.git(tmp_path, "init", "--quiet", "work")
    bare = factories_git.repository(tmp_path / "bare.git")
    (tmp_path / "work" / "inside").mkdir()
    settings = ScanSettings(allow=(tmp_path,))

    assert places.locate(str(tmp_path / "work"), settings) == places.Place(str(tmp_path / "work" / ".git"), "file")
    assert places.locate(f"file://{bare}", settings) == places.Place(str(bare), "file")
    with pytest.raises(PlaceRefusedError, match="is not a git repository"):
        places.locate(str(tmp_path / "work" / "inside"), settings)


@pytest.mark.parametrize(
    "part",
    ["objects", "objects/pack", "refs", "refs/heads", "HEAD", "by another", "alternates", "alternates of those", "include",
     "worktree", "git-link", "commondir"],
)  # fmt: skip
def test_a_repository_leads_nowhere_else(tmp_path: Path, part: str) -> None:
    """A repository whose parts, objects or self are somewhere else is not read, whatever the link is made of."""
    allowed, outside = tmp_path / "allowed", factories_git.repository(tmp_path / "outside.git", factories_git.some_changes())
    allowed.mkdir()
    site = factories_git.repository(allowed / "site.git")
    url = str(site)
    if part in {"objects", "objects/pack", "refs", "refs/heads", "HEAD"}:
        (site / part).rename(tmp_path / "moved")
        (site / part).symlink_to(outside / part)
    elif part == "alternates":
        (site / "objects" / "info" / "alternates").write_text(f"{outside / 'objects'}\n")
    elif part == "alternates of those":
        between = factories_git.repository(allowed / "between.git")
        (between / "objects" / "info" / "alternates").write_text(f"{outside / 'objects'}\n")
        (site / "objects" / "info" / "alternates").write_text(f"{between / 'objects'}\n")
    elif part == "by another":
        (allowed / "packs").mkdir()
        (allowed / "packs" / "one.pack").symlink_to(outside / "HEAD")
        (site / "objects" / "more").symlink_to(allowed / "packs")
    elif part == "include":
        (site / "config").write_text("[core]\n\tbare = true\n [ INCLUDE ]\n\tpath = /etc/passwd\n")
    elif part == "worktree":
        url = str(allowed / "tree")
        Path(url).mkdir()
        (allowed / "tree" / ".git").write_text(f"gitdir: {outside}\n")
    elif part == "git-link":
        url = str(allowed / "tree")
        Path(url).mkdir()
        (allowed / "tree" / ".git").symlink_to(outside)
    else:
        (site / "commondir").write_text(f"{outside}\n")

    with pytest.raises(PlaceRefusedError):
        places.locate(url, ScanSettings(allow=(allowed,)))


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    """What the machine cannot even look at is refused for good, and is no accident."""
    with pytest.raises(PlaceRefusedError, match="cannot be read"):
        places.locate(str(tmp_path / ("x" * 300)), ScanSettings(allow=(tmp_path,)))


def test_an_alternate_inside_is_fine(tmp_path: Path) -> None:
    """A repository may borrow from another one that may be scanned."""
    factories_git.repository(tmp_path / "one.git")
    two = factories_git.repository(tmp_path / "two.git")
    (two / "objects" / "info" / "alternates").write_text("../../one.git/objects\n")
    assert places.locate(str(two), ScanSettings(allow=(tmp_path,))) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCAN_ALLOW", "mirrors"), ("SCAN_NETWORKS", "127.0.0.1/99"), ("SCAN_PULLS", "0"), ("GITHUB_URL", "ftp://x"),
     ("GITHUB_URL", "https://ada:secret@example.org"), ("GITHUB_TOKEN", "ghp_a\nb")],
)  # fmt: skip
def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """What cannot be used is said at the start, with the setting's name."""
    monkeypatch.setenv(f"GREENROOM_{name}", value)
    with pytest.raises(SettingsError, match=f"^GREENROOM_{name}: "):
        load(GitHubSettings if name.startswith("GITHUB") else ScanSettings)


def test_a_token_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """S48: the line's end that a file of a secret has is not sent, and so is in no error that says what cannot be sent."""
    monkeypatch.setenv("GREENROOM_GITHUB_TOKEN", " ghp_abc\n")
    token = load(GitHubSettings).token
    assert token is not None
    assert token.get_secret_value() == "ghp_abc"
