"""Buckets that cannot be used: each gives one clear error without secrets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from spritz_cli.errors import StorageError, UsageError
from spritz_cli.models import ObjectPath, parse_location
from spritz_cli.settings import load_settings

SECRET = "very-secret-key-of-vidgen"

NO_BUCKET = """<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"""
DENIED = """<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""
WRONG_REGION = (
    "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; "
    "expecting 'eu-west-3'</Message><Region>eu-west-3</Region></Error>"
)
EXPIRED = "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>"
BUSY = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://films", "films", ""),
        ("s3://films/", "films", ""),
        ("s3://films/public/v1/", "films", "public/v1"),
    ],
)
def test_a_bucket_is_read_from_its_address(text: str, bucket: str, key: str) -> None:
    assert parse_location(text, Path("/srv")) == ObjectPath(bucket, key)
    assert str(ObjectPath(bucket, key)) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    ["s3://", "s3:///films", "s3://F", "s3://a b", "s3://films/../x", "s3://films//x",
     "s3://films/?x", "gs://films", "https://films.example/v", "s3://user:pass@films"],
)  # fmt: skip
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_location(text, Path("/srv"))
    assert "s3://BUCKET/PREFIX" in caught.value.hint


def test_settings_hand_the_bucket_on_to_child_processes(tmp_path: Path) -> None:
    settings = load_settings({"VIDGEN_VIDEOS_DIR": "s3://films/v"}, tmp_path)
    assert settings.videos_dir == ObjectPath("films", "v")
    assert settings.environment()["VIDGEN_VIDEOS_DIR"] == "s3://films/v"
    assert load_settings({}, tmp_path, videos_dir="~/v").videos_dir == Path.home() / "v"


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        ((404, NO_BUCKET), "no bucket 'films'", "Create it"),
        ((403, DENIED), "AccessDenied", "s3:PutObject"),
        ((400, WRONG_REGION), "another region", "AWS_REGION=eu-west-3"),
        ((400, EXPIRED), "ExpiredToken", "AWS_SESSION_TOKEN"),
        ((503, BUSY), "SlowDown", "again"),
        ((200, "<html>a login page</html>"), "does not speak S3", "AWS_ENDPOINT_URL"),
        (None, "broke", "network"),
    ],
    ids=["no-bucket", "denied", "wrong-region", "expired", "busy", "a-page", "broken-off"],
)
def test_an_answer_is_one_clear_error(
    answer: tuple[int, str] | None, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(answer) as port:
        error = failure(monkeypatch, f"http://127.0.0.1:{port}")
    assert message in error.message
    assert hint in error.hint


def test_a_server_that_is_down_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(monkeypatch, "http://root:hidden-password@127.0.0.1:1")
    assert "127.0.0.1:1 cannot be reached" in error.message
    assert "AWS_ENDPOINT_URL" in error.hint
    assert "hidden-password" not in error.message + error.hint


def test_a_server_that_hangs_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from spritz_cli.storage.files import bucket as objects

    monkeypatch.setattr(objects, "ANSWER_SECONDS", 0.2)
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        error = failure(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer" in error.message
    assert time.monotonic() - began < 30


def test_whoever_has_a_user_waiting_is_told_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        failure(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", quick=True)
    assert time.monotonic() - began < 8


def test_an_endpoint_that_is_none_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(monkeypatch, "not an address")
    assert "AWS_ENDPOINT_URL" in error.hint


def test_missing_credentials_are_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = failure(monkeypatch, "http://127.0.0.1:1", secret=None, home=tmp_path)
    assert "credentials" in error.message
    assert "AWS_ACCESS_KEY_ID" in error.hint


def test_an_unknown_profile_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    error = failure(monkeypatch, "http://127.0.0.1:1", secret=None, home=tmp_path)
    assert "AWS_PROFILE" in error.hint


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from spritz_cli.cli.app import run\n"
        "sys.exit(run(['plan', '--videos-dir', 's3://films']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "Install spritz-vidgen with its extra `s3`" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_the_library_is_not_loaded_for_a_folder() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from spritz_cli.bootstrap import Services\n"
        "from spritz_cli.settings import load_settings\n"
        "Services(load_settings({}), None).store\n"
        "assert 'botocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def failure(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    *,
    secret: str | None = SECRET,
    quick: bool = False,
    home: Path = Path("/nonexistent"),
) -> StorageError:
    """Return the error of a bucket at an address; it must not contain the secret."""
    from spritz_cli.storage.files.bucket import BucketFiles

    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    for name, value in (("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", secret)):
        monkeypatch.setenv(name, value) if secret else monkeypatch.delenv(name, raising=False)
    bucket = BucketFiles(ObjectPath("films", "v"), Path("/nonexistent"), quick=quick)
    with pytest.raises(StorageError) as caught:
        list(bucket.find(""))
    assert SECRET not in caught.value.message + caught.value.hint
    assert caught.value.exit_code == 3
    return caught.value


@contextmanager
def answering(answer: tuple[int, str] | None) -> Iterator[int]:
    """Serve one answer to every request; None closes the connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_answer, args=(server, answer), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _answer(server: socket.socket, answer: tuple[int, str] | None) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            if answer:
                status, body = answer
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close"
                connection.sendall(f"{head}\r\n\r\n{body}".encode())
