"""Translates failures of an object store into errors with hints.

They quote only the codes and messages of the server: botocore's own texts may hold keys,
or addresses with passwords.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as foreign
from botocore.parsers import ResponseParserError

from spritz_cli.errors import StorageError
from spritz_cli.models import ObjectPath


class ObjectMissing(StorageError):
    """Raised when the object does not exist."""


class ObjectLost(StorageError):
    """Raised when the connection breaks in the middle of an answer."""


class ObjectOption(StorageError):
    """Raised when the server does not implement what the request asks for."""


class ObjectChanged(StorageError):
    """Raised when a condition on the object does not hold (any more)."""


class NoAnswerOfS3(Exception):
    """Raised when an answer lacks a field that every object store sends."""


@contextmanager
def object_errors(doing: str, where: ObjectPath, server: str) -> Iterator[None]:
    """Translate every error of botocore; `doing` is a word such as "writing"."""
    try:
        yield
    except foreign.ClientError as exc:
        raise _refusal(exc, f"{doing} {where}", where) from exc
    except (ResponseParserError, NoAnswerOfS3) as exc:
        what = f"what answers at {server} does not speak S3"
        raise StorageError(f"{doing} {where} failed: {what}", hint=_SERVER) from exc
    except (foreign.BotoCoreError, ValueError, OSError) as exc:
        what, hint = _trouble(exc, server)
        kind = ObjectLost if isinstance(exc, _LOST) else StorageError
        raise kind(f"{doing} {where} failed: {what}", hint=hint) from exc


def require(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an answer that has this field; NoAnswerOfS3 if it has not."""
    if name not in answer:
        raise NoAnswerOfS3(name)
    return answer


def host_of(address: str) -> str:
    """Return host and port of an address, without user and password."""
    return urlsplit(address).netloc.rpartition("@")[2] or "the object store"


def _refusal(exc: foreign.ClientError, doing: str, where: ObjectPath) -> StorageError:
    code, status, message = _fields(exc)
    if code == "NoSuchBucket":
        return StorageError(f"there is no bucket {where.bucket!r}", hint=_NO_BUCKET)
    if status == 404:
        return ObjectMissing(f"{where} does not exist", hint="`vidgen warm` makes what is missing.")
    if status in (409, 412):
        return ObjectChanged(
            f"{where} was changed by another process meanwhile",
            hint="Run the same command again: it continues from what is stored.",
        )
    if code in _WRONG_REGION or status == 301:
        return StorageError(
            f"the bucket {where.bucket!r} is in another region", hint=_region_hint(exc)
        )
    answer = f"{code}: {message}" if message else code
    kind = ObjectOption if status == 501 else StorageError
    return kind(f"{doing} failed: {answer}", hint=_hint(code, status, where))


def _fields(exc: foreign.ClientError) -> tuple[str, int, str]:
    error: Any = exc.response.get("Error", {})
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(error.get("Code", status)), status, str(error.get("Message", ""))[:200]


def _hint(code: str, status: int, where: ObjectPath) -> str:
    if code in _BAD_KEYS:
        return _BAD_KEYS[code]
    if status == 403:
        return _RIGHTS.format(bucket=where.bucket)
    if status >= 500 or code in ("SlowDown", "RequestTimeout"):
        return "The object store has a problem: run the same command again later."
    return "Check VIDGEN_VIDEOS_DIR, the AWS_* variables and the server that they name."


def _region_hint(exc: foreign.ClientError) -> str:
    error: Any = exc.response.get("Error", {})
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = error.get("Region") or headers.get("x-amz-bucket-region") or "THE_REGION"
    return f"Set AWS_REGION={region}."


def _trouble(exc: Exception, server: str) -> tuple[str, str]:
    """Return message and hint of a failure that is not an answer of the server."""
    if isinstance(exc, foreign.NoCredentialsError | foreign.PartialCredentialsError):
        return "there are no complete AWS credentials", _CREDENTIALS
    if isinstance(exc, foreign.ProfileNotFound | foreign.CredentialRetrievalError):
        return "the AWS credentials cannot be loaded", _CREDENTIALS
    if isinstance(exc, foreign.SSLError):
        return f"this machine does not trust the certificate of {server}", _CERTIFICATE
    if isinstance(exc, foreign.EndpointConnectionError | foreign.ProxyConnectionError):
        return f"{server} cannot be reached", _SERVER
    if isinstance(exc, foreign.ConnectTimeoutError | foreign.ReadTimeoutError):
        return f"{server} does not answer", _SERVER
    if isinstance(exc, _LOST):
        return f"the connection to {server} broke", _SERVER
    if isinstance(exc, OSError):
        return f"{exc.filename or ''}: {exc.strerror}".lstrip(": "), _DISK
    return f"botocore raised {type(exc).__name__}", _SETTINGS


_LOST = (
    foreign.HTTPClientError,
    foreign.ResponseStreamingError,
    foreign.IncompleteReadError,
)

_WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect")
_NO_BUCKET = "Create it, or correct VIDGEN_VIDEOS_DIR."
_RIGHTS = (
    "Grant these AWS credentials s3:ListBucket on arn:aws:s3:::{bucket}, and s3:GetObject, "
    "s3:PutObject and s3:DeleteObject on all objects below it."
)
_BAD_KEYS = {
    "InvalidAccessKeyId": "Correct AWS_ACCESS_KEY_ID: the server does not know it.",
    "SignatureDoesNotMatch": "Correct AWS_SECRET_ACCESS_KEY: it does not match AWS_ACCESS_KEY_ID.",
    "ExpiredToken": "Sign in again: AWS_SESSION_TOKEN has expired.",
    "InvalidToken": "Correct or unset AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "Correct the clock of this machine: it differs from the server's.",
}
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
    "on AWS, give the machine a role."
)
_SERVER = "Check the network, and AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL if they are set."
_CERTIFICATE = "Correct AWS_ENDPOINT_URL, or name the certificate with AWS_CA_BUNDLE."
_SETTINGS = "Check VIDGEN_VIDEOS_DIR, AWS_REGION, AWS_ENDPOINT_URL and ~/.aws/config."
_DISK = "Check the disk below the state directory."
