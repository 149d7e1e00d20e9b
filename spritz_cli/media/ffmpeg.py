"""Runs ffmpeg: raw frames to MP4 and back. No other module of the package runs it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spritz_cli.errors import (
    EncoderKilled,
    FilmDamaged,
    MissingLibrary,
    RenderError,
    StorageError,
)

if TYPE_CHECKING:
    from spritz_cli.media.montage import Clip, Frame

#: sRGB to BT.709 with full chroma and without SIMD-dependent rounding. setparams writes
#: primaries and transfer into the file.
_COLOUR = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    "+full_chroma_inp,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)

_CODING = (
    *("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"),
    *("-color_range", "tv", "-colorspace", "bt709"),
    *("-color_primaries", "bt709", "-color_trc", "bt709", "-threads", "2"),
    *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"),
    *("-bsf:v", "filter_units=remove_types=6", "-movflags", "+faststart"),
)

#: Together with the frames, these settings determine the bytes of a film. The number of
#: threads is fixed because the output of x264 depends on it.
ENCODER_SETTINGS = ("-vf", _COLOUR, *_CODING)

#: Footage is untrusted: a playlist could refer to local files, a huge frame exhaust memory.
_UNTRUSTED = (
    *("-protocol_whitelist", "file,pipe", "-format_whitelist", "mov,mp4,matroska,webm"),
    *("-max_pixels", str(8192 * 4352)),
)

#: Seconds of a segment that are read at most.
MAX_FOOTAGE_SECONDS = 120

#: From this height on, players assume BT.709 for a film without colour tags.
HD_LINES = 720
_MATRICES = frozenset(
    ("bt709", "smpte170m", "bt470bg", "fcc", "smpte240m", "bt2020nc", "bt2020c", "gbr", "ycgco")
)
_STREAM = r"(?m)^  Stream #.*: Video: .*?, \w+(?:\(([^)]*)\))?, \d+x(\d+)"

#: Errors of the decoder, not words of the file: its title may contain anything. A change of
#: size or colours in the middle would restart the whole filter graph.
_DECODER_ERROR = (
    r"(?mi)^(?:\[.* @ 0x\w+\]|Error) .*(?:error|corrupt|invalid|partial file|reconfiguring).*$"
)

#: For decoding without looking at the result: reads every bit, but leaves out the deblocking
#: filter. A second thread would only cost CPU.
_CHECK_ONLY = ("-threads", "1", "-skip_loop_filter", "all")

#: Messages about missing memory or threads. "opening encoder" is one of them: its settings are
#: constant and valid.
_SHORTAGE = (
    "Cannot allocate memory|malloc|Resource temporarily unavailable|opening encoder"
    r"|failed to map segment|get_buffer\(\) failed|out of memory"
)

PIPE_BYTES = 1 << 20

#: Exit code of ffmpeg when the disk is full.
NO_SPACE = 228

#: Exit codes of ffmpeg for missing memory and threads, whatever its message.
SHORTAGE_CODES = (244, 245)

#: Timeouts in seconds, far longer than ever needed: ffmpeg may hang if it gets no thread. They
#: are for one frame, for the end of a film, and for decoding a film; for the same with footage,
#: whose frames may be forty times as large; and for encoding a file.
TIMEOUT = 120.0
FOOTAGE_TIMEOUT = 600.0
FILE_TIMEOUT = 3_600.0

#: Checks for a hanging ffmpeg within that time.
CHECKS = 20


class Probe(NamedTuple):
    """The properties of a finished film, measured by decoding it."""

    duration_seconds: float
    width: int
    height: int
    pix_fmt: str
    color_space: str
    frames: int
    faststart: bool


@cache
def binary() -> str:
    """Return the path of the ffmpeg that ships with imageio-ffmpeg."""
    bundled = _bundled()
    if bundled and "IMAGEIO_FFMPEG_EXE" not in os.environ:
        # get_ffmpeg_exe() would run it once as a check.
        return str(bundled)
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise MissingLibrary(
            f"ffmpeg is missing: {exc}", hint="Reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE."
        ) from exc


@cache
def version() -> str:
    """Return the version of ffmpeg, such as "9.0.2", without running a bundled one."""
    named = os.environ.get("IMAGEIO_FFMPEG_EXE") or _bundled() or ""
    match = re.search(r"-v?(\d[\d.]*\d)", Path(named).name)
    if match:
        return match[1]
    banner = subprocess.run([binary(), "-version"], capture_output=True, text=True, check=False)
    return banner.stdout.split("\n", 1)[0].removeprefix("ffmpeg version ").split(" ")[0]


def _bundled() -> Path | None:
    package = find_spec("imageio_ffmpeg")
    folders = (package.submodule_search_locations or ()) if package else ()
    programs = (path for folder in folders for path in Path(folder).glob("binaries/ffmpeg-*"))
    return min((path for path in programs if os.access(path, os.X_OK)), default=None)


def encode(
    frames: Iterable[bytes | bytearray],
    path: Path,
    *,
    width: int,
    height: int,
    fps: int,
    held: int = 0,
    captions: Path | None = None,
) -> None:
    """Encode raw B, G, R, unused frames into an MP4 with an optional caption track.

    The last frame is repeated `held` times. The film is the same as if `frames` yielded
    the repetitions, but the colours are converted only once. Raises RenderError if ffmpeg
    fails, EncoderKilled if it was killed, hung or lacked memory, and StorageError if the disk
    is full.
    """
    command = [*_raw_input(width, height, fps), "-"]
    if captions is not None:
        command += ["-i", str(captions), "-map", "0:v", "-map", "1:s", "-c:s", "mov_text"]
        command += ["-metadata:s:s:0", "language=eng"]
    command += [*ENCODER_SETTINGS, *_holding(held), str(path)]
    with _running(command, path.parent) as stream:
        for frame in frames:
            stream.write(frame)


def compose(
    clips: Sequence[Clip],
    overlay: Iterable[bytes | bytearray],
    path: Path,
    *,
    frame: Frame,
    duration: float,
    captions: Path,
) -> None:
    """Encode footage below a drawing: exactly `duration` seconds, without sound.

    `overlay` yields every frame of the film as raw B, G, R, A, premultiplied. Raises the
    errors of `encode`.
    """
    from spritz_cli.media.montage import montage

    frames = round(duration * frame.fps)
    command = [*_raw_input(frame.width, frame.height, frame.fps, "bgra"), "-"]
    for clip in clips:
        command += [*_footage_input(clip.path)]
    command += ["-i", str(captions), "-c:s", "mov_text", "-metadata:s:s:0", "language=eng"]
    graph = f"{montage(clips, frame, frames)},{_COLOUR}[film]"
    command += ["-filter_complex_threads", "2", "-filter_complex", graph, "-map", "[film]"]
    command += ["-map", f"{len(clips) + 1}:s", "-map_chapters", "-1", "-frames:v", str(frames)]
    command += [*_CODING, str(path)]
    with _running(command, path.parent, FOOTAGE_TIMEOUT) as stream:
        for pixels in overlay:
            stream.write(pixels)


def footage(path: Path, fps: int) -> Clip:
    """Decode a segment of footage and return it as a clip; RenderError if it is damaged."""
    from spritz_cli.media.montage import Clip

    command = [binary(), "-hide_banner", "-nostdin", *_footage_input(path)]
    command += ["-map", "0:v:0", "-vf", f"fps={fps}", "-f", "null", "-"]
    done = _run(command, FOOTAGE_TIMEOUT)
    error = _decoder_error(done)
    if error:
        raise RenderError(
            f"the footage {path.name} does not play: {error}", hint="Other footage is needed."
        )
    frames = _frames(done.stderr)
    if not frames:
        raise RenderError(f"the footage {path.name} holds no picture")
    return Clip(path, frames, _matrix(done.stderr))


def still(path: Path, second: float, *, width: int, height: int) -> bytes:
    """Return the frame of one of our films at a second, as raw B, G, R, unused bytes."""
    colours = "scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=accurate_rnd"
    command = [*_quiet(), "-ss", f"{second:.4f}", "-i", str(path), "-frames:v", "1"]
    command += ["-vf", f"{colours}+full_chroma_int+full_chroma_inp,format=bgr0"]
    with _start_errors(TIMEOUT):
        done = subprocess.run(
            [*command, "-f", "rawvideo", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
        )
    if done.returncode != 0 or len(done.stdout) != 4 * width * height:
        reason = _last_line(done.stderr.decode(errors="replace"))
        raise RenderError(f"{path} shows nothing at {second:.2f} s: {reason}")
    return done.stdout


def encode_file(raw: Path, path: Path, *, width: int, height: int, fps: int) -> None:
    """Encode a file of raw frames with the same settings, to measure encoding alone."""
    command = [*_raw_input(width, height, fps), str(raw), *ENCODER_SETTINGS, str(path)]
    done = _run(command, FILE_TIMEOUT)
    if done.returncode != 0:
        raise _failure(done.returncode, done.stderr, path.parent)


def probe(path: Path) -> Probe:
    """Decode one of our films and return its properties; FilmDamaged if it does not play.

    Raises EncoderKilled if ffmpeg lacked memory or threads.
    """
    command = [binary(), "-hide_banner", *_CHECK_ONLY, "-i", str(path), "-map", "0:v:0"]
    done = _run([*command, "-f", "null", "-"], TIMEOUT)
    error = _decoder_error(done)
    if error and re.search(_SHORTAGE, done.stderr):
        # A shortage of memory is not evidence of damage: report it as retryable.
        raise _shortage(done.returncode, done.stderr)
    if error:
        raise FilmDamaged(f"{path} does not play: {error}")
    stream = re.search(r"Video: .*? (yuv\w+)\((.*?)\).*?(\d{2,5})x(\d{2,5}).*", done.stderr)
    frames = _frames(done.stderr)
    rate = re.search(r"([\d.]+) fps", done.stderr)
    if not stream or frames is None or not rate:
        raise FilmDamaged(f"{path} is not a film")
    return Probe(
        duration_seconds=frames / float(rate[1]),
        width=int(stream[3]),
        height=int(stream[4]),
        pix_fmt=stream[1],
        color_space=stream[2],
        frames=frames,
        faststart=_faststart(path),
    )


def _raw_input(width: int, height: int, fps: int, pix_fmt: str = "bgr0") -> list[str]:
    command = [*_quiet(), "-y", "-f", "rawvideo", "-pix_fmt", pix_fmt]
    return [*command, "-s", f"{width}x{height}", "-r", str(fps), "-i"]


def _holding(frames: int) -> list[str]:
    # Given later, it replaces the -vf of ENCODER_SETTINGS.
    return ["-vf", f"{_COLOUR},tpad=stop_mode=clone:stop={frames}"] if frames else []


def _footage_input(path: Path) -> list[str]:
    return [*_UNTRUSTED, "-t", str(MAX_FOOTAGE_SECONDS), "-i", str(path)]


def _decoder_error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error that ended a decoding or damaged its result, empty if there is none."""
    error = re.search(_DECODER_ERROR, done.stderr)
    if error:
        return error[0]
    return _last_line(done.stderr) if done.returncode != 0 else ""


def _frames(stderr: str) -> int | None:
    """Return the number of decoded frames that ffmpeg reported last."""
    counts = re.findall(r"frame=\s*(\d+)", stderr)
    return int(counts[-1]) if counts else None


def _matrix(stderr: str) -> str:
    """Return "auto" for footage with a colour matrix, else the one that players assume."""
    stream = re.search(_STREAM, stderr)
    if not stream:
        return "auto"
    tags = {tag.partition("/")[0] for tag in (stream[1] or "").split(", ")}
    if tags & _MATRICES:
        return "auto"
    return "bt709" if int(stream[2]) >= HD_LINES else "bt601"


def _quiet() -> list[str]:
    return [binary(), "-hide_banner", "-nostdin", "-v", "error"]


def _run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    # Titles in footage may contain any bytes.
    with _start_errors(timeout):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout,
        )
    if _is_shortage(done.returncode, done.stderr):
        raise _shortage(done.returncode, done.stderr)
    return done


@contextmanager
def _start_errors(timeout: float) -> Iterator[None]:
    """Translate a timeout, and a lack of memory or processes, into EncoderKilled."""
    try:
        yield
    except subprocess.TimeoutExpired as exc:
        raise _hung(f"did not finish within {timeout:.0f} s") from exc
    except OSError as exc:
        if exc.errno not in (errno.ENOMEM, errno.EAGAIN):
            raise
        raise EncoderKilled(f"ffmpeg cannot be started: {exc.strerror}") from exc


def _hung(what: str) -> EncoderKilled:
    return EncoderKilled(f"ffmpeg hung and was killed: it {what}")


@contextmanager
def _running(command: list[str], folder: Path, timeout: float | None = None) -> Iterator[_Feed]:
    """Run ffmpeg with a pipe to its input. It never outlives the block."""
    timeout = timeout or TIMEOUT
    # A file for stderr: a full pipe would block ffmpeg, and then us.
    with tempfile.TemporaryFile() as stderr:
        with _start_errors(timeout):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                bufsize=0,
            )
        try:
            with _Feed(process, timeout) as feed:
                # If ffmpeg has failed, its exit code says more than the broken pipe.
                with suppress(BrokenPipeError):
                    yield feed
                feed.end()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if feed.hung:
            raise _hung(f"read no input for {timeout:.0f} s")
        if process.returncode != 0:
            stderr.seek(0)
            messages = stderr.read().decode(errors="replace")
            raise _failure(process.returncode, messages, folder)


class _Feed:
    """The input of ffmpeg, and a thread that kills ffmpeg if it hangs."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self.hung = False
        self._process = process
        self._timeout = timeout
        self._stream = _pipe(process)
        self._waiting_since: float | None = None
        self._closed = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Feed:
        try:
            self._watchdog.start()
        except RuntimeError as exc:
            self._stream.close()
            raise EncoderKilled(f"ffmpeg cannot be watched: {exc}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._watchdog.join()
        with suppress(BrokenPipeError):
            self._stream.close()

    def write(self, frame: bytes | bytearray) -> None:
        left = memoryview(frame)
        self._waiting_since = time.monotonic()
        while left:
            # A signal may interrupt a write.
            left = left[self._stream.write(left) :]
        self._waiting_since = None

    def end(self) -> None:
        """Close the input of ffmpeg and wait until it has written the film."""
        self._waiting_since = time.monotonic()
        with suppress(BrokenPipeError):
            self._stream.close()
        self._process.wait()

    def _watch(self) -> None:
        while not self._closed.wait(self._timeout / CHECKS):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._timeout:
                self.hung = True
                self._process.kill()
                return


def _pipe(process: subprocess.Popen[bytes]) -> Any:
    stream = process.stdin
    if stream is None:
        raise RenderError("ffmpeg has no input")
    # A frame is 3.7 MB: a larger pipe means sixteen times fewer waits. Optional.
    with suppress(AttributeError, OSError):
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return stream


def _failure(code: int, stderr: str, folder: Path) -> RenderError | StorageError:
    if code == NO_SPACE or "No space left" in stderr:
        return StorageError(
            f"the disk is full: ffmpeg could not write the film in {folder}",
            hint="Free some space (vidgen cleanup --dry-run shows what can go), then run it again.",
        )
    if _is_shortage(code, stderr):
        return _shortage(code, stderr)
    return RenderError(f"ffmpeg failed with exit code {code}: {_last_line(stderr)}")


def _is_shortage(code: int, stderr: str) -> bool:
    if code in SHORTAGE_CODES:
        return True
    return code < 0 or (code > 0 and re.search(_SHORTAGE, stderr) is not None)


def _shortage(code: int, stderr: str) -> EncoderKilled:
    if code < 0:
        return EncoderKilled(
            f"ffmpeg was killed by signal {-code}, perhaps because the machine ran out of memory"
        )
    lines = (line for line in stderr.splitlines() if re.search(_SHORTAGE, line))
    reason = next(lines, _last_line(stderr))
    return EncoderKilled(f"ffmpeg lacks memory or threads (exit code {code}): {reason}")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it wrote no message"


def _faststart(path: Path) -> bool:
    """Whether the index precedes the media data, so that playback can start at once."""
    with path.open("rb") as file:
        while header := file.read(8):
            size, kind = struct.unpack(">I4s", header)
            if kind in (b"moov", b"mdat"):
                return bool(kind == b"moov")
            file.seek(size - 8, 1)
    return False
