"""Downloads footage: streamed, limited in size and time, checked for the start of a film."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spritz_cli.errors import ProviderError, StorageError
from spritz_cli.videos_api.addresses import Gatekeeper, Refused, Unresolved
from spritz_cli.videos_api.answers import Answer, Scrubber, failure, refusal

if TYPE_CHECKING:
    import ssl

    import httpx

MAX_BYTES = 512_000_000
MAX_SECONDS = 900.0
MAX_HOPS = 5

#: Attempts per source: a job may be reported as done before its file exists.
ROUNDS = 4
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0

_TRANSIENT = (404, 408, 409, 425, 429)
_REDIRECTS = (301, 302, 303, 307, 308)
_EBML = b"\x1a\x45\xdf\xa3"


class Downloader:
    """Downloads footage from a provider, or from a URL that the provider names."""

    def __init__(
        self,
        base_url: str,
        auth_headers: Mapping[str, str],
        scrub: Scrubber,
        sleep: Callable[[float], None],
    ) -> None:
        self._base_url = base_url
        self._auth_headers = auth_headers
        self._scrub = scrub
        self._sleep = sleep

    def fetch(self, sources: Sequence[str], path: Path) -> None:
        """Write the first usable footage among the sources to `path`, all or nothing.

        Raises ProviderError if no source has footage, StorageError if it cannot be written.
        """
        failures: dict[str, _Failure] = {}
        for attempt in range(ROUNDS):
            waiting = [url for url in sources if url not in failures or failures[url].transient]
            for source in waiting:
                try:
                    return self._fetch(source, path)
                except _Failure as exc:
                    failures[source] = exc
            if not any(item.transient for item in failures.values()):
                break
            if attempt < ROUNDS - 1:
                self._sleep(_delay(attempt, failures))
        raise failures[sources[0]].error

    def close(self) -> None:
        """Close every connection."""
        for name in ("_home", "_other_hosts"):
            if name in vars(self):
                vars(self)[name].close()

    def _fetch(self, source: str, path: Path) -> None:
        scratch = path.with_name(f"{path.name}.part")
        try:
            with self._opened(source) as response:
                _save(response, scratch)
            scratch.replace(path)
        except OSError as exc:
            hint = "Check the disk's free space and the folder's permissions."
            raise StorageError(f"{path}: {exc.strerror or exc}", hint=hint) from exc
        finally:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, source: str) -> Iterator[httpx.Response]:
        import httpx

        transient = False
        try:
            url = httpx.URL(self._base_url).join(source)
            for _ in range(MAX_HOPS):
                response = self._ask(url)
                try:
                    if response.status_code not in _REDIRECTS:
                        self._require_footage(response)
                        yield response
                        return
                    url = url.join(response.headers.get("location", ""))
                finally:
                    response.close()
            problem = f"more than {MAX_HOPS} redirects"
        except httpx.InvalidURL:
            problem = "the address is not valid"
        except Refused as exc:
            problem, transient = str(exc), isinstance(exc, Unresolved)
        except httpx.HTTPError as exc:
            problem, transient = type(exc).__name__, True
        raise _Failure(_unusable(problem), transient=transient)

    def _ask(self, url: httpx.URL) -> httpx.Response:
        headers = {"Accept": "video/mp4, */*", "Accept-Encoding": "identity"}
        if self._gatekeeper.is_home(url):
            request = self._home.build_request(
                "GET", url, headers={**headers, **self._auth_headers}
            )
            return self._home.send(request, stream=True)
        return self._ask_other_host(url, headers, self._gatekeeper.check(url))

    def _ask_other_host(
        self, url: httpx.URL, headers: Mapping[str, str], addresses: Sequence[str]
    ) -> httpx.Response:
        import httpx

        host = url.netloc.decode("ascii")
        for address in addresses:
            request = self._other_hosts.build_request(
                "GET",
                url.copy_with(host=address),
                headers={**headers, "Host": host},
                # The certificate is checked against the name.
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return self._other_hosts.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise Refused(f"{url.host} has no address")

    def _require_footage(self, response: httpx.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        answer = Answer(status, response.headers, _beginning(response))
        error = refusal(answer, "the footage", self._scrub)
        if status in (404, 410):
            error = failure(error.message, "lost")
        raise _Failure(error, transient=status in _TRANSIENT or status >= 500)

    @cached_property
    def _gatekeeper(self) -> Gatekeeper:
        import httpx

        return Gatekeeper(httpx.URL(self._base_url))

    @cached_property
    def _home(self) -> httpx.Client:
        return self._client(trust_env=True)

    @cached_property
    def _other_hosts(self) -> httpx.Client:
        # Without a proxy: it would resolve the name again, after our check.
        return self._client(trust_env=False)

    def _client(self, *, trust_env: bool) -> httpx.Client:
        import httpx

        return httpx.Client(
            verify=self._certificates,
            trust_env=trust_env,
            follow_redirects=False,
            timeout=httpx.Timeout(60, connect=5),
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context()


class _Failure(Exception):
    """Raised when a source does not deliver. A transient failure is worth another try."""

    def __init__(self, error: ProviderError, *, transient: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.transient = transient


def _delay(attempt: int, failures: Mapping[str, _Failure]) -> float:
    asked = [item.error.retry_after or 0.0 for item in failures.values() if item.transient]
    return min(max(FIRST_DELAY * (1 << attempt), *asked), LONGEST_DELAY)


def _unusable(reason: str) -> ProviderError:
    return failure(f"the job is done, but its footage cannot be downloaded: {reason}", "server")


def _save(response: httpx.Response, scratch: Path) -> None:
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise _Failure(_unusable(f"larger than {MAX_BYTES // 1_000_000} MB"), transient=False)
    size, start, end = 0, b"", time.monotonic() + MAX_SECONDS
    with scratch.open("wb") as file:
        for chunk in response.iter_bytes():
            size += len(chunk)
            start = start if len(start) >= 12 else start + chunk[:12]
            if len(start) >= 12:
                _require_film(start)
            if size > MAX_BYTES or time.monotonic() > end:
                raise _Failure(_unusable("too large or too slow"), transient=False)
            file.write(chunk)
    _require_film(start)


def _require_film(start: bytes) -> None:
    if start[4:8] != b"ftyp" and not start.startswith(_EBML):
        what = "the answer is empty" if not start else "the answer is not a film"
        raise _Failure(_unusable(what), transient=True)


def _beginning(response: httpx.Response) -> bytes:
    """Return the first 64 kB of an answer that is not footage."""
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) >= 64_000:
            break
    return body
