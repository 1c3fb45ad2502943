"""S30 and S32: what a webhook's URL may be; all else is a 400 that writes nothing."""

from ipaddress import ip_network

import pytest

from middleware.settings import WebhookSettings
from tests.acceptance.served import served

REFUSED = (
    "http://hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "javascript:alert(1)", "https://", "hooks.example",
    "https://user:pass@hooks.example/", "https://user@hooks.example/", "https://:pw@hooks.example/", "https://@hooks.example/",
    "https://hooks.example:8443/", "https://hooks.example:80/", "https://hooks.example:0/", "https://hooks.example:99999/",
    "https://hooks.example/#part", "https://hooks.example/a b", "https://hooks.example/\\@127.0.0.1/", "https://höoks.example/",
    "https://hooks.example/\r\nX-Evil: 1", "https://" + "a" * 3000 + ".example/",
    # Addresses inside, however they are written.
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/",
    "https://0/", "https://0.0.0.0/", "https://10.1.2.3/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/", "https://100.100.100.200/", "https://168.63.129.16/",
    "https://224.0.0.1/", "https://255.255.255.255/", "https://198.18.0.1/", "https://192.0.2.1/",
    "https://[::]/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fec0::1]/", "https://[ff02::1]/", "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/", "https://[2001:db8::1]/", "https://127.0.0.1./", "https://[::1",
    # What is looked up would not be what was judged; names that no reader can decode.
    "https://hooks.example./", "https://xn--/", "https://xn--a.example/", "https://xn--0000h/",
)  # fmt: skip
TAKEN = (
    "https://hooks.example/",
    "https://hooks.example:443/path?and=query",
    "https://93.184.215.14/",
    "https://[2606:4700::1111]/",
)


@pytest.mark.timeout(180)
def test_only_public_https(sqlite_database: str) -> None:
    """Everything that is not https on its own port at a public address, or a name, is refused, when changing as well."""
    with served(sqlite_database) as greenroom:
        ann = greenroom.user("ann")
        kept = {url: ann.post("/webhooks", json={"url": url}) for url in TAKEN}
        assert {url: answer.status_code for url, answer in kept.items()} == dict.fromkeys(TAKEN, 201)
        place = f"/webhooks/{next(iter(kept.values())).json()['id']}"
        wrong = {
            (verb, url): answer.text
            for url in REFUSED
            for verb, path in (("POST", "/webhooks"), ("PATCH", place))
            if (answer := ann.request(verb, path, json={"url": url})).status_code != 400 or answer.json()["field"] != "url"
        }
        assert wrong == {}
        assert sorted(one["url"] for one in ann.get("/webhooks").json()["items"]) == sorted(TAKEN)


def test_the_operator_may_allow_more(sqlite_database: str) -> None:
    """In the networks that the setting names http and any port are allowed, by address or by name, and nowhere else."""
    allowed = WebhookSettings(allow=(ip_network("127.0.0.0/8"), ip_network("10.9.0.0/16")))
    with served(sqlite_database, webhooks=allowed) as greenroom:
        ann = greenroom.user("ann")
        for url, status in {
            "http://127.0.0.1:8080/": 201,
            "https://127.0.0.1/": 201,
            "http://10.9.1.2/": 201,
            "http://[::ffff:127.0.0.1]:81/": 201,
            "http://127.0.0.1.nothing.invalid:8080/": 201,  # what it leads to is seen when it is connected to
            "http://10.8.0.1/": 400,
            "http://169.254.169.254/": 400,
            "http://93.184.215.14/": 400,
            "https://93.184.215.14:8443/": 400,
            "http://user:pw@127.0.0.1/": 400,
        }.items():
            assert ann.post("/webhooks", json={"url": url}).status_code == status, url
