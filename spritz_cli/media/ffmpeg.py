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

#: sRGB to BT.709 with full chroma and no SIMD-dependent rounding; setparams is
#: what writes primaries and transfer into the file.
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

#: Everything that decides the bytes of a film besides its frames. The number of
#: threads is fixed because x264's output depends on it.
ENCODER_SETTINGS = ("-vf", _COLOUR, *_CODING)

#: Footage comes from outside: a playlist or script in its place could name files of
#: ours, a huge frame take all memory.
_UNTRUSTED = (
    *("-protocol_whitelist", "file,pipe", "-format_whitelist", "mov,mp4,matroska,webm"),
    *("-max_pixels", str(8192 * 4352)),
)

#: More of a segment is never looked at.
MAX_FOOTAGE_SECONDS = 120

#: From so many lines on, players take a film that does not tell its colours for BT.709.
HD_LINES = 720
_MATRICES = frozenset(
    ("bt709", "smpte170m", "bt470bg", "fcc", "smpte240m", "bt2020nc", "bt2020c", "gbr", "ycgco")
)
_STREAM = r"(?m)^  Stream #.*: Video: .*?, \w+(?:\(([^)]*)\))?, \d+x(\d+)"

#: What the decoder says, not the file: its title may have any word in it. A picture that
#: changes its size or colours halfway would start the whole montage anew.
_COMPLAINT = (
    r"(?mi)^(?:\[.* @ 0x\w+\]|Error) .*(?:error|corrupt|invalid|partial file|reconfiguring).*$"
)

#: For decoding that nobody watches: every bit is read, but edges are not smoothed, and a
#: second thread would only cost.
_UNSEEN = ("-threads", "1", "-skip_loop_filter", "all")

#: What ffmpeg says if it is given no memory or no thread. The settings of the encoder are
#: ours and fine, so that it cannot be opened has no other reason.
_WANT = (
    "Cannot allocate memory|malloc|Resource temporarily unavailable|opening encoder"
    r"|failed to map segment|get_buffer\(\) failed|out of memory"
)

PIPE_BYTES = 1 << 20

#: What ffmpeg exits with when the disk is full.
NO_SPACE = 228

#: What it exits with for want of memory and of threads, whatever it says.
WANTING = (244, 245)

#: An ffmpeg that is given no thread may wait for ever. In seconds, far more than it ever needs:
#: to take a frame, to end a film, to decode one; with footage, whose frames may be forty times
#: as large; to encode a file.
PATIENCE = 120.0
FOOTAGE_PATIENCE = 600.0
FILE_PATIENCE = 3_600.0

#: How often in that time we look whether it hangs.
LOOKS = 20


class Probe(NamedTuple):
    """What a finished film really holds."""

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
        # Asked for it, the package would run it once to see whether it does.
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
    """Return ffmpeg's version, e.g. "9.0.2", without running it if it is the bundled one."""
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

    The last frame is shown `held` times more: the same film as if `frames` gave it
    so often, but its colours are converted once. Raises RenderError when ffmpeg
    fails, StorageError when the disk is full.
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
    """Encode footage with a drawing over it: exactly `duration` seconds, without its sound.

    `overlay` yields every frame of the film as raw B, G, R, A, premultiplied.
    Raises RenderError when ffmpeg fails, StorageError when the disk is full.
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
    with _running(command, path.parent, FOOTAGE_PATIENCE) as stream:
        for pixels in overlay:
            stream.write(pixels)


def footage(path: Path, fps: int) -> Clip:
    """Look at a segment of footage by decoding it; raises RenderError if it is damaged."""
    from spritz_cli.media.montage import Clip

    command = [binary(), "-hide_banner", "-nostdin", *_footage_input(path)]
    command += ["-map", "0:v:0", "-vf", f"fps={fps}", "-f", "null", "-"]
    told = _run(command, FOOTAGE_PATIENCE)
    complaint = re.search(_COMPLAINT, told.stderr)
    if told.returncode != 0 or complaint:
        said = complaint[0] if complaint else _last_line(told.stderr)
        raise RenderError(
            f"the footage {path.name} does not play: {said}", hint="Other footage is needed."
        )
    counted = re.findall(r"frame=\s*(\d+)", told.stderr)
    if not counted or counted[-1] == "0":
        raise RenderError(f"the footage {path.name} holds no picture")
    return Clip(path, int(counted[-1]), _matrix(told.stderr))


def still(path: Path, second: float, *, width: int, height: int) -> bytes:
    """Return the picture that a film of ours shows at a second, as raw B, G, R, unused bytes."""
    colours = "scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=accurate_rnd"
    command = [*_quiet(), "-ss", f"{second:.4f}", "-i", str(path), "-frames:v", "1"]
    command += ["-vf", f"{colours}+full_chroma_int+full_chroma_inp,format=bgr0"]
    with _patient(PATIENCE):
        done = subprocess.run(
            [*command, "-f", "rawvideo", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    if done.returncode != 0 or len(done.stdout) != 4 * width * height:
        said = _last_line(done.stderr.decode(errors="replace"))
        raise RenderError(f"{path} shows nothing at {second:.2f} s: {said}")
    return done.stdout


def encode_file(raw: Path, path: Path, *, width: int, height: int, fps: int) -> None:
    """Encode a file of raw frames with the very same settings: what encoding alone costs."""
    command = [*_raw_input(width, height, fps), str(raw), *ENCODER_SETTINGS, str(path)]
    done = _run(command, FILE_PATIENCE)
    if done.returncode != 0:
        raise _failure(done.returncode, done.stderr, path.parent)


def probe(path: Path) -> Probe:
    """Read the facts of a film of ours by decoding all of it; FilmDamaged if that fails."""
    command = [binary(), "-hide_banner", *_UNSEEN, "-i", str(path), "-map", "0:v:0"]
    told = _run([*command, "-f", "null", "-"], PATIENCE)
    complaint = re.search(_COMPLAINT, told.stderr)
    if complaint and re.search(_WANT, told.stderr):
        # What it lacked for a moment need not have been its end.
        raise _starved(told.returncode, told.stderr)
    if told.returncode != 0 or complaint:
        said = complaint[0] if complaint else _last_line(told.stderr)
        raise FilmDamaged(f"{path} does not play: {said}")
    stream = re.search(r"Video: .*? (yuv\w+)\((.*?)\).*?(\d{2,5})x(\d{2,5}).*", told.stderr)
    counted = re.findall(r"frame=\s*(\d+)", told.stderr)
    rate = re.search(r"([\d.]+) fps", told.stderr)
    if not stream or not counted or not rate:
        raise FilmDamaged(f"{path} is not a film")
    frames = int(counted[-1])
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
    # Takes the place of the filters among the settings.
    return ["-vf", f"{_COLOUR},tpad=stop_mode=clone:stop={frames}"] if frames else []


def _footage_input(path: Path) -> list[str]:
    return [*_UNTRUSTED, "-t", str(MAX_FOOTAGE_SECONDS), "-i", str(path)]


def _matrix(told: str) -> str:
    """Return the colour matrix that footage is tagged with, or what players take it for."""
    stream = re.search(_STREAM, told)
    if not stream:
        return "auto"
    tags = {tag.partition("/")[0] for tag in (stream[1] or "").split(", ")}
    if tags & _MATRICES:
        return "auto"
    return "bt709" if int(stream[2]) >= HD_LINES else "bt601"


def _quiet() -> list[str]:
    return [binary(), "-hide_banner", "-nostdin", "-v", "error"]


def _run(command: list[str], patience: float) -> subprocess.CompletedProcess[str]:
    # Footage may name itself in any bytes.
    with _patient(patience):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=patience,
        )
    if _is_starved(done.returncode, done.stderr):
        raise _starved(done.returncode, done.stderr)
    return done


@contextmanager
def _patient(seconds: float) -> Iterator[None]:
    try:
        yield
    except subprocess.TimeoutExpired as exc:
        raise _hung(f"came to no end in {seconds:.0f} s") from exc
    except OSError as exc:
        if exc.errno not in (errno.ENOMEM, errno.EAGAIN):
            raise
        raise EncoderKilled(f"ffmpeg cannot be started: {exc.strerror}") from exc


def _hung(what: str) -> EncoderKilled:
    return EncoderKilled(f"ffmpeg hung and was ended: it {what}")


@contextmanager
def _running(command: list[str], folder: Path, patience: float | None = None) -> Iterator[_Feed]:
    """Run ffmpeg with a pipe to its input; it never outlives the block."""
    patience = patience or PATIENCE
    # Its complaints go to a file: a full stderr pipe would stop both of us.
    with tempfile.TemporaryFile() as complaints:
        with _patient(patience):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                bufsize=0,
            )
        try:
            with _Feed(process, patience) as feed:
                # When it has given up, its exit code says more than the broken pipe.
                with suppress(BrokenPipeError):
                    yield feed
                feed.end()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if feed.hung:
            raise _hung(f"let us wait for {patience:.0f} s")
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace")
            raise _failure(process.returncode, said, folder)


class _Feed:
    """The input of ffmpeg, and a thread that ends it if it lets us wait too long."""

    def __init__(self, process: subprocess.Popen[bytes], patience: float) -> None:
        self.hung = False
        self._process = process
        self._patience = patience
        self._stream = _pipe(process)
        self._waits_since: float | None = None
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Feed:
        try:
            self._watch.start()
        except RuntimeError as exc:
            self._stream.close()
            raise EncoderKilled(f"ffmpeg cannot be watched: {exc}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()
        with suppress(BrokenPipeError):
            self._stream.close()

    def write(self, frame: bytes | bytearray) -> None:
        left = memoryview(frame)
        self._waits_since = time.monotonic()
        while left:
            # A signal may cut it short.
            left = left[self._stream.write(left) :]
        self._waits_since = None

    def end(self) -> None:
        """Tell ffmpeg that there is no more, and wait until it has written the film."""
        self._waits_since = time.monotonic()
        with suppress(BrokenPipeError):
            self._stream.close()
        self._process.wait()

    def _look(self) -> None:
        while not self._over.wait(self._patience / LOOKS):
            since = self._waits_since
            if since is not None and time.monotonic() - since > self._patience:
                self.hung = True
                self._process.kill()
                return


def _pipe(process: subprocess.Popen[bytes]) -> Any:
    stream = process.stdin
    if stream is None:
        raise RenderError("ffmpeg has no input")
    # A frame is 3.7 MB: sixteen times fewer waits. Not every system can, none must.
    with suppress(AttributeError, OSError):
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return stream


def _failure(code: int, complaints: str, folder: Path) -> RenderError | StorageError:
    if code == NO_SPACE or "No space left" in complaints:
        return StorageError(
            f"the disk is full: ffmpeg could not write the film in {folder}",
            hint="Free some space (vidgen cleanup --dry-run shows what can go), then run it again.",
        )
    if _is_starved(code, complaints):
        return _starved(code, complaints)
    return RenderError(f"ffmpeg failed with exit code {code}: {_last_line(complaints)}")


def _is_starved(code: int, complaints: str) -> bool:
    return code < 0 or code in WANTING or (code > 0 and re.search(_WANT, complaints) is not None)


def _starved(code: int, complaints: str) -> EncoderKilled:
    if code < 0:
        told = f"ffmpeg was killed by signal {-code}, perhaps because the machine ran out of memory"
    else:
        lines = (line for line in complaints.splitlines() if re.search(_WANT, line))
        said = next(lines, _last_line(complaints))
        told = f"ffmpeg lacks memory or threads (exit code {code}): {said}"
    return EncoderKilled(told)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _faststart(path: Path) -> bool:
    """Tell whether the index stands before the media, so that playback starts at once."""
    with path.open("rb") as file:
        while header := file.read(8):
            size, kind = struct.unpack(">I4s", header)
            if kind in (b"moov", b"mdat"):
                return bool(kind == b"moov")
            file.seek(size - 8, 1)
    return False
