"""Every container to 16 kHz mono; whatever else comes is refused with a reason, and nothing outside is opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.decode import decode, decode_with_ffmpeg
from aural.errors import AudioTooLong, AuralError, BadAudio
from aural.types import SAMPLE_RATE, Samples
from tests.audio.build import chunk, encoded, silent_video, tone, wav
from tests.conftest import Recording

TOLERANCE_S = 0.05
FORMATS = [
    ("wav", "pcm_mulaw", 8_000),
    ("wav", "pcm_alaw", 8_000),
    ("wav", "adpcm_ms", 22_050),
    ("wav", "pcm_s24le", 44_100),
    ("aiff", "pcm_s16be", 44_100),
    ("au", "pcm_s16be", 16_000),
    ("caf", "pcm_s16le", 48_000),
    ("flac", "flac", 22_050),
    ("mp3", "libmp3lame", 44_100),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("matroska", "pcm_f32le", 16_000),
    ("ipod", "aac", 44_100),
    ("adts", "aac", 16_000),
    ("mpegts", "mp2", 44_100),
    ("avi", "pcm_s16le", 11_025),
]
HOSTILE = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="audio/flac"><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "url": "[Reference]\nRef1={url}\n",
    "path": "{path}",
}


@pytest.mark.parametrize(
    "name", ["LJ001-0002", "libri-367-130732-0001", "fleurs-en-004", "cv-en-22058264", "fleurs_zh_1883_clip5"]
)
def test_recordings_have_their_duration(clips: dict[str, Recording], name: str) -> None:
    pcm = decode(clips[name].bytes, limit_s=60)
    assert pcm.duration_s == pytest.approx(clips[name].duration_s, abs=TOLERANCE_S)
    assert pcm.samples.dtype == np.float32
    assert pcm.samples.ndim == 1
    assert 0.003 < np.abs(pcm.samples).max() <= 1  # one of them peaks at -49 dBFS


@pytest.mark.slow
def test_the_whole_speech_set_has_its_durations(shared_clips: list[Recording]) -> None:
    for clip in shared_clips:
        pcm = decode(clip.bytes, limit_s=3600)
        assert pcm.duration_s == pytest.approx(clip.duration_s, abs=TOLERANCE_S), clip.path.name


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
def test_every_format_gives_back_the_tone(container: str, codec: str, rate: int, channels: int) -> None:
    sound = np.repeat(tone(1, rate), channels, axis=1)
    pcm = decode(encoded(sound, container, codec, rate), limit_s=60)
    assert pcm.duration_s == pytest.approx(1, abs=0.13)  # MPEG layers without a gapless header keep their padding
    assert pitch_hz(pcm.samples) == pytest.approx(440, abs=3)
    assert np.abs(pcm.samples[4000:8000]).max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_channels_are_averaged_at_any_rate(rate: int) -> None:
    opposed = decode(wav(tone(1, rate, channels=2).tobytes(), channels=2, rate=rate), limit_s=60)
    assert np.abs(opposed.samples).max() < 1e-4
    six = decode(wav(np.repeat(tone(1, rate), 6, axis=1).tobytes(), channels=6, rate=rate), limit_s=60)
    assert np.abs(six.samples[4000:8000]).max() == pytest.approx(0.5, abs=0.01)


def test_the_sound_of_a_video_is_heard() -> None:
    pcm = decode(silent_video(2, sound=True), limit_s=60)
    assert pcm.duration_s == pytest.approx(2, abs=0.13)
    assert pitch_hz(pcm.samples) == pytest.approx(440, abs=3)


def test_a_rate_that_changes_midway_is_followed() -> None:
    parts = [encoded(tone(1, rate), "adts", "aac", rate) for rate in (16_000, 44_100)]
    pcm = decode(b"".join(parts), limit_s=60)
    assert pcm.duration_s == pytest.approx(2, abs=0.26)
    assert pitch_hz(pcm.samples[-SAMPLE_RATE // 2 :]) == pytest.approx(440, abs=3)


def test_tags_in_an_unknown_alphabet_do_no_harm() -> None:
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"\xff\xfe\x80name\0"))
    assert decode(wav(tone(1, 8_000).tobytes(), rate=8_000, before=info), limit_s=60).duration_s == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "got an empty body"),
        (b"<!DOCTYPE html><html>", "got HTML or XML"),
        (b'\xef\xbb\xbf {"error": "no such file"}', "got JSON"),
        (b"PK\x03\x04\x14\0\0\0", "got a zip archive"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "got a PNG image"),
        ("это не звук, а текст, и довольно длинный, больше пятисот байт " * 9, "got text"),
        (b"\0" * 5000, "got 5000 bytes: Invalid data found"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "got 16 bytes: "),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "Invalid data found"),
        (silent_video(), "expected an audio track, got mov,mp4,.* with video"),
        (wav(tone(0.1).tobytes(), channels=0), "got 3244 bytes: Invalid"),
        (wav(tone(0.1).tobytes(), rate=0), "expected audio"),
        (wav(tone(0.1).tobytes(), rate=7), "sample rate of 1000 to 768000 Hz, got 7 Hz"),
        (wav(tone(0.1).tobytes(), rate=2_000_000_000), "sample rate of 1000 to 768000 Hz"),
    ],
)
def test_what_came_instead_of_audio_is_said(body: bytes | str, words: str) -> None:
    with pytest.raises(BadAudio, match=words):
        decode(body if isinstance(body, bytes) else body.encode(), limit_s=60)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_body_that_names_other_files_opens_none(clips: dict[str, Recording], kind: str) -> None:
    path = clips["libri-367-130732-0001"].path.resolve()
    body = HOSTILE[kind].format(path=path, url=f"file://{path}").encode()
    with pytest.raises(BadAudio):
        decode(body, limit_s=60)
    with pytest.raises(BadAudio):  # nor when FFmpeg sees it
        decode_with_ffmpeg(body, limit_s=60)


@pytest.mark.parametrize("body", [b"near.wav", b"ffconcat version 1.0\nfile near.wav\n"])
def test_nor_a_file_nearby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    (tmp_path / "near.wav").write_bytes(wav(tone(1).tobytes()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadAudio):
        decode_with_ffmpeg(body, limit_s=60)


@pytest.mark.parametrize(("container", "codec"), [("flac", "flac"), ("ogg", "libopus"), ("ipod", "aac")])
def test_a_declared_length_is_refused_before_decoding(container: str, codec: str) -> None:
    file = encoded(tone(30, 48_000), container, codec, 48_000)
    with pytest.raises(AudioTooLong, match=r"at most 20 s of audio, got 30\.\d s"):
        decode(file[: len(file) // 4] if container == "flac" else file, limit_s=20)


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("wav", "pcm_mulaw"), ("adts", "aac")])
def test_an_undeclared_length_is_refused_while_decoding(container: str, codec: str) -> None:
    file = encoded(tone(30, 44_100), container, codec, 44_100)
    with pytest.raises(AudioTooLong, match="at most 20 s of audio, got more"):
        decode(file, limit_s=20)


def test_a_bomb_stops_at_the_limit() -> None:
    hours = bytearray(encoded(np.zeros(3600 * 8_000, np.int16), "flac", "flac", 8_000))
    assert len(hours) < 1_000_000
    hours[21:26] = bytes([hours[21] & 0xF0, 0, 0, 0, 0])  # the header no longer says how long it is
    with pytest.raises(AudioTooLong, match="got more"):
        decode(bytes(hours), limit_s=60)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_streamed_wav_of_another_rate_lasts_as_long_as_its_samples(size: int) -> None:
    pcm = decode(wav(tone(1, 8_000).tobytes(), rate=8_000, size=size), limit_s=60)
    assert pcm.duration_s == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp3", "libmp3lame", 16_000), ("flac", "flac", 16_000), ("ogg", "libopus", 48_000), ("webm", "libopus", 48_000)],
)
def test_half_a_file_gives_half_the_audio(container: str, codec: str, rate: int) -> None:
    file = encoded(tone(10, rate), container, codec, rate)
    pcm = decode(file[: len(file) // 2], limit_s=60)
    assert pcm.duration_s == pytest.approx(5, abs=0.7)
    assert pitch_hz(pcm.samples) == pytest.approx(440, abs=3)


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("flac", "flac")])
def test_damage_in_the_middle_costs_only_its_neighbourhood(container: str, codec: str) -> None:
    file = bytearray(encoded(tone(10), container, codec))
    middle = len(file) // 2
    file[middle : middle + 500] = np.random.default_rng(1).bytes(500)
    assert 8 < decode(bytes(file), limit_s=60).duration_s < 10.2


def test_threads_decode_side_by_side(clips: dict[str, Recording]) -> None:
    bodies = [clip.bytes for clip in clips.values()] * 4
    alone = [decode(body, limit_s=60).samples for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda body: decode(body, limit_s=60).samples, bodies))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_ffmpeg_writes_nothing_to_the_terminal(clips: dict[str, Recording], capfd: pytest.CaptureFixture[str]) -> None:
    broken = bytearray(clips["cv-en-22058264"].bytes)
    broken[5_000:6_000] = bytes(1_000)
    decode(bytes(broken), limit_s=60)
    with pytest.raises(BadAudio):
        decode(bytes(broken[:40]), limit_s=60)
    assert capfd.readouterr() == ("", "")


SMALL = {
    "wav": encoded(tone(0.05, 8_000), "wav", "pcm_mulaw", 8_000),
    "flac": encoded(tone(0.05), "flac", "flac"),
    "mp3": encoded(tone(0.05), "mp3", "libmp3lame"),
    "opus": encoded(tone(0.05, 48_000), "ogg", "libopus", 48_000),
    "webm": encoded(tone(0.05, 48_000), "webm", "libopus", 48_000),
    "m4a": encoded(tone(0.05), "ipod", "aac"),
    "aiff": encoded(tone(0.05), "aiff", "pcm_s16be"),
}


@pytest.mark.parametrize("kind", SMALL)
def test_a_file_cut_off_anywhere_gives_audio_or_our_error(kind: str) -> None:
    for end in range(len(SMALL[kind])):
        assert_calm(SMALL[kind][:end])


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(sorted(SMALL)), st.floats(0, 1), st.binary(min_size=1, max_size=40), st.booleans())
def test_a_scrawled_file_gives_audio_or_our_error(kind: str, place: float, scrawl: bytes, insert: bool) -> None:
    file, at = SMALL[kind], int(place * len(SMALL[kind]))
    assert_calm(file[:at] + scrawl + file[at if insert else at + len(scrawl) :])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3\x04\0\0", b"\xff\xfb", b"\x1aE\xdf\xa3"]), st.binary())
def test_any_bytes_give_audio_or_our_error(magic: bytes, body: bytes) -> None:
    assert_calm(magic + body)


def assert_calm(file: bytes) -> None:
    try:
        pcm = decode(file, limit_s=2)
    except AuralError:
        return
    assert 0 < len(pcm) <= 2 * SAMPLE_RATE
    assert np.abs(pcm.samples).max() <= 1


def pitch_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / len(samples)
