"""The sender of webhooks: one signed POST to an address that was checked, with limits on all that a receiver can do."""

import asyncio
import ipaddress
import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from middleware import targets
from middleware.settings import WebhookSettings
from middleware.targets import NO_PUBLIC_ADDRESS, Address, Target, TargetRefusedError
from persistence.webhook_sending import Answer, Sending

if TYPE_CHECKING:
    import httpx

MOST_REPLY_BYTES = 64 * 1024

# Names whose servers are silent hold their permits for long: one user's take a few, and those that have failed half of all.
_MOST_LOOKUPS = 64
_MOST_LOOKUPS_FAILING = _MOST_LOOKUPS // 2
_MOST_LOOKUPS_OF_USER = 4
_PERMIT_SECONDS = 5.0
_MOST_ADDRESSES = 3
_PARTING_SECONDS = 2.0
_SKIM_SECONDS = 1.0
_JITTER = 0.1

log = structlog.get_logger(__name__)


class WebhookSender:
    """An event loop in a thread of its own, in which many receivers may take their time at once.

    :param on_answer: is told on that thread what came of each try.
    """

    def __init__(self, settings: WebhookSettings, *, on_answer: Callable[[Answer], None]) -> None:
        import certifi
        import httpx

        self._settings = settings
        self._on_answer = on_answer
        context = ssl.create_default_context(cafile=certifi.where())
        context.load_default_certs()  # and those of the machine or of SSL_CERT_FILE, for authorities of one's own
        # The transport by itself: it follows nothing, keeps no cookies and reads neither proxies nor .netrc.
        self._transport = httpx.AsyncHTTPTransport(
            verify=context, trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )
        self._loop = asyncio.new_event_loop()
        self._lookups = asyncio.Semaphore(_MOST_LOOKUPS)
        self._lookups_failing = asyncio.Semaphore(_MOST_LOOKUPS_FAILING)
        self._lookups_of: WeakValueDictionary[tuple[str, bool], asyncio.Semaphore] = WeakValueDictionary()
        self._thread = threading.Thread(target=self._run, name="greenroom-webhook-sender", daemon=True)
        self._thread.start()

    def send(self, sending: Sending) -> None:
        """Begin to send; what comes of it is told in time, unless the sender is closed before."""
        asyncio.run_coroutine_threadsafe(self._send(sending), self._loop)

    def close(self) -> None:
        """Break off what is under way and stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PARTING_SECONDS)

    def _run(self) -> None:
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._transport.aclose())
        self._loop.close()

    async def _send(self, sending: Sending) -> None:
        status, error = None, None
        try:
            target = targets.parse(sending.url)
            permits = await self._permits(sending) if target.address is None else []
            if permits is None:
                self._on_answer(Answer(sending, None, "no name could be looked up yet", is_untried=True))
                return
            async with asyncio.timeout(self._settings.time_limit_seconds):
                response = await self._post(sending, target, permits)
            status = response.status_code
            await _skim(response)
        except TimeoutError:
            error = f"no answer within {self._settings.time_limit_seconds:g} seconds"
        except TargetRefusedError as refusal:
            error = str(refusal)
        except Exception as failure:  # noqa: BLE001
            # The edge of a process: whatever a receiver's bytes make of the libraries is a failed try of that receiver.
            error = None if status else _words(failure)
            log.debug("webhook.failed", delivery=sending.id, error=type(failure).__name__)
        self._on_answer(self._judge(sending, status, error))

    def _judge(self, sending: Sending, status: int | None, error: str | None) -> Answer:
        if status is not None and not HTTPStatus(200) <= status < HTTPStatus(300):
            error = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")  # noqa: PLR2004 - 3xx
        if error is None:
            return Answer(sending, status, None)
        if status == HTTPStatus.GONE:
            return Answer(sending, status, error, gone="the receiver answered 410 Gone")
        waits = self._settings.backoff_seconds
        if sending.tries > len(waits):
            return Answer(sending, status, error)
        # Shorter and never longer, so that what failed together is not tried again together.
        wait = waits[sending.tries - 1] * (1 - random.uniform(0, _JITTER))  # noqa: S311 - only spreads the load
        return Answer(sending, status, error, wait_seconds=wait)

    async def _post(self, sending: Sending, target: Target, permits: "list[asyncio.Semaphore]") -> "httpx.Response":
        import httpx

        addresses = [target.address] if target.address is not None else await self._look_up(target.host, target.port, permits)
        if not addresses:
            targets.check(target, [], allowed=self._settings.allow)
            raise TargetRefusedError(NO_PUBLIC_ADDRESS)
        targets.check(target, addresses, allowed=self._settings.allow)
        *first, last = [_request(target, address, sending, self._settings) for address in addresses[:_MOST_ADDRESSES]]
        for request in first:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing has been said there: the next one may
                return await self._transport.handle_async_request(request)
        return await self._transport.handle_async_request(last)

    async def _permits(self, sending: Sending) -> "list[asyncio.Semaphore] | None":
        """Wait for what a look-up needs, its user's share first; None when it cannot be had for now."""
        key = sending.user_id, sending.is_failing
        of_user = self._lookups_of.setdefault(key, asyncio.Semaphore(_MOST_LOOKUPS_OF_USER))
        had: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout(_PERMIT_SECONDS):
                for permit in (of_user, *([self._lookups_failing] if sending.is_failing else []), self._lookups):
                    await permit.acquire()
                    had.append(permit)
        except TimeoutError:
            for permit in had:
                permit.release()
            return None
        return had

    async def _look_up(self, host: str, port: int, permits: "list[asyncio.Semaphore]") -> list[Address]:
        """Resolve a name in a thread of its own: a pool's threads would have to be waited for when the process ends.

        :param permits: given back when the thread has ended, which may be long after everybody has stopped waiting.
        """
        answer: asyncio.Future[list[Address]] = self._loop.create_future()

        def done(found: list[Address]) -> None:
            for permit in permits:
                permit.release()
            if not answer.done():
                answer.set_result(found)

        def look_up() -> None:
            found = resolve(host, port)
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                self._loop.call_soon_threadsafe(done, found)

        threading.Thread(target=look_up, name="greenroom-webhook-name", daemon=True).start()
        return await answer


def resolve(host: str, port: int) -> list[Address]:
    """List the addresses of a name, each once; none when the name is not known."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos))


def signatures(sending: Sending) -> str:
    """Sign a delivery for the moment of its claim with each of its secrets, as Standard Webhooks has it."""
    from standardwebhooks import Webhook

    return " ".join(Webhook(secret).sign(sending.id, sending.at, sending.body) for secret in sending.secrets)


def _request(target: Target, address: Address, sending: Sending, settings: WebhookSettings) -> "httpx.Request":
    """Address the very address that was checked; the name stays in the Host header, in SNI and in the certificate."""
    import httpx

    url = httpx.URL(target.url)
    body = sending.body.encode()
    headers = {
        "Host": url.netloc.decode(),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Type": "application/json",
        "User-Agent": "Greenroom-Webhooks/1",
        "webhook-id": sending.id,
        "webhook-timestamp": str(int(sending.at.timestamp())),
        "webhook-signature": signatures(sending),
    }
    seconds = settings.time_limit_seconds
    timeouts = {"connect": seconds / _MOST_ADDRESSES, "read": seconds, "write": seconds, "pool": seconds}
    extensions: dict[str, Any] = {"sni_hostname": target.host, "timeout": timeouts}
    return httpx.Request("POST", url.copy_with(host=str(address)), headers=headers, content=body, extensions=extensions)


async def _skim(response: "httpx.Response") -> None:
    """Read a little of the answer's body, as it came, so that an ordinary receiver is not cut off; nobody keeps it.

    The status has been said by then: what a body does, or does not, changes nothing.
    """
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_SKIM_SECONDS):
            try:
                async for part in response.stream:  # type: ignore[union-attr]
                    read += len(part)
                    if read > MOST_REPLY_BYTES:
                        break
            finally:
                await response.aclose()


def _is_about_certificate(error: BaseException) -> bool:
    return "certificate" in str(error).lower()


def _words(failure: Exception) -> str:
    """Say in our own words why there was no answer: what a library says may quote the receiver."""
    import httpx

    if isinstance(failure, httpx.ConnectError):
        if _is_about_certificate(failure):
            return "the certificate was not accepted"
        return "could not connect"
    if isinstance(failure, httpx.TimeoutException):
        return "no answer in time"
    return "the connection broke before there was a whole answer"
