"""Sends HTTP requests, each once, through the generic methods of the `openai` library.

Its `videos` methods are deprecated, and its retries would buy footage up to three times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spritz_cli.errors import UsageError
from spritz_cli.videos_api.answers import Answer
from spritz_cli.videos_api.profile import Profile

if TYPE_CHECKING:
    import httpx
    import openai

CONNECT_SECONDS = 5.0

#: Limits against hostile servers: no JSON answer is larger or takes longer.
MAX_ANSWER_BYTES = 16_000_000
MAX_ANSWER_SECONDS = 120.0

#: The library requires a key, even for servers without one.
_NO_KEY = "none"


class NoAnswer(Exception):
    """Raised without a complete answer; `sent` says whether the request may have arrived."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Wire:
    """Sends requests to one provider, each exactly once. Never follows redirects."""

    def __init__(self, profile: Profile, api_key: str | None, base_url: str) -> None:
        self.auth_headers = auth_headers(profile, api_key)
        self._profile = profile
        self._base_url = base_url

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, timeout: float) -> Answer:
        """Send a GET; raises NoAnswer."""
        import httpx

        options = self._options({}, timeout) | {"params": dict(query or {})}
        return self._answer(
            lambda: self._client.get(path, options=options, cast_to=_as(httpx.Response))
        )

    def post(
        self, path: str, fields: Mapping[str, Any], headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        """Send a POST in the encoding of the profile; raises NoAnswer."""
        import httpx

        multipart = self._profile.encoding == "multipart"
        body = {name: _form_text(value) if multipart else value for name, value in fields.items()}
        kind = {"Content-Type": "multipart/form-data"} if multipart else {}
        options = self._options({**headers, **kind}, timeout)
        return self._answer(
            lambda: self._client.post(
                path,
                body=body,
                files=[] if multipart else None,
                options=options,
                cast_to=_as(httpx.Response),
            )
        )

    def close(self) -> None:
        """Close every connection."""
        if "_client" in vars(self):
            self._client.close()

    @cached_property
    def _client(self) -> openai.OpenAI:
        import httpx
        import openai

        # The server may close a kept connection while the next request is under way. It would
        # not be known whether that request arrived.
        http = httpx.Client(
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            event_hooks={"response": [_limit]},
        )
        return openai.OpenAI(
            api_key=_NO_KEY,
            base_url=self._base_url,
            max_retries=0,
            http_client=_as(http),
        )

    def _options(self, headers: Mapping[str, str], timeout: float) -> Any:
        import httpx
        import openai

        # The library adds these by default, the last two from the environment.
        own = ("Authorization", "OpenAI-Organization", "OpenAI-Project")
        return {
            "headers": {**dict.fromkeys(own, openai.omit), **self.auth_headers, **headers},
            "timeout": httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
        }

    def _answer(self, send: Any) -> Answer:
        import openai

        try:
            return _read(send())
        except openai.APIStatusError as exc:
            return _read(exc.response)
        except openai.OpenAIError as exc:
            silence = _silence(exc.__cause__ or exc)
        # Outside the handler, without a cause: errors of the library may contain the key.
        raise silence


def auth_headers(profile: Profile, api_key: str | None) -> dict[str, str]:
    """Return the headers with the key, none without a key."""
    key = (api_key or "").strip()
    if not key or profile.auth == "none":
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            "the key of the provider contains a character that is not allowed in HTTP headers",
            hint="Copy VIDGEN_API_KEY again, without quotes and line breaks.",
        )
    if profile.auth == "bearer":
        return {"Authorization": f"Bearer {key}"}
    return {profile.auth.removeprefix("header:"): key}


def _form_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(response: Any) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def _silence(cause: BaseException) -> NoAnswer:
    import httpx

    never_sent = (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
    )
    # Only its type: its text may contain a URL with a secret.
    return NoAnswer(type(cause).__name__, sent=not isinstance(cause, never_sent))


def _limit(response: httpx.Response) -> None:
    import httpx

    class Limited(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size, end = 0, time.monotonic() + MAX_ANSWER_SECONDS
            for chunk in self._stream:
                size += len(chunk)
                if size > MAX_ANSWER_BYTES or time.monotonic() > end:
                    raise httpx.ReadError("the answer is too large or too slow")
                yield chunk

        def close(self) -> None:
            self._stream.close()

    response.stream = Limited(response.stream)


def _as(value: Any) -> Any:
    """Return a value as Any: the types of the library name another version of httpx."""
    return value
