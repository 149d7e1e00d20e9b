"""Small real films in place of those that a provider delivers."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import threading
from functools import cache
from itertools import count, islice
from pathlib import Path

from spritz_cli.errors import RenderError
from spritz_cli.media import ffmpeg

FPS = 24

_making = threading.Lock()


def footage(seconds: int, size: str) -> bytes:
    """Return an MP4 (H.264, 24 fps) of a moving test card, cached per process."""
    # Concurrent requests for the same film must not start several encoders.
    with _making:
        return _made(seconds, size)


def garbage(film: bytes) -> bytes:
    """Return as many bytes that start with the `ftyp` box of `film`, but do not decode."""
    start = int.from_bytes(film[:4], "big")
    blocks = (hashlib.sha256(bytes([n % 256])).digest() for n in count())
    noise = b"".join(islice(blocks, len(film) // 32 + 1))
    return film[:start] + noise[start : len(film)]


@cache
def _made(seconds: int, size: str) -> bytes:
    # Drawing it small and enlarging it costs a third of drawing it large.
    card = f"testsrc=size=320x180:rate={FPS}:duration={seconds}"
    scale = f"scale={size.replace('x', ':')}:flags=neighbor,setsar=1,format=yuv420p"
    with tempfile.TemporaryDirectory(prefix="vidgen-footage-") as folder:
        path = Path(folder) / "film.mp4"
        _run("-f", "lavfi", "-i", card, "-vf", scale, *_ENCODER, str(path))
        return path.read_bytes()


_ENCODER = (
    *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-threads", "1"),
    *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
)


def _run(*arguments: str) -> None:
    command = [ffmpeg.binary(), "-hide_banner", "-nostdin", "-v", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RenderError(f"ffmpeg could not make footage for a test: {done.stderr.strip()}")
