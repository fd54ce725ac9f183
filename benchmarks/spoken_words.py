"""Spoken words as a keyword model reads them: said by espeak-ng, and taken apart by TensorFlow's micro frontend.

DS-CNN of MLPerf Tiny learned the words of Speech Commands (Warden, 2018, https://arxiv.org/abs/1804.03209). Its inputs
are 50 steps of 20 ms with 10 bands up to 4 kHz: the frontend without noise reduction and gain control, a quarter of its
values. Of words that are said so, the trained model names three quarters correctly, where chance is a twelfth.
"""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

Floats = npt.NDArray[np.float32]

# The model's classes, in its order; the last two are any other word, and none.
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_OTHERS = (
    "bed bird cat dog eight five four happy house marvin nine one seven six three tree two wow zero sheila"
)
_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
_VOICES = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")
_RATE = 16_000
# Of espeak-ng's 22,050 samples a second, 16,000.
_UP, _DOWN = 320, 441


@dataclass(frozen=True)
class _Said:
    word: str
    voice: str
    pitch: int
    words_per_minute: int


def spoken_words(count: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features (count, 50, 10), 0 to 255, and classes (count,) of `count` words, each class equally often.

    Raises:
        SystemExit: If espeak-ng is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise SystemExit(
            "DS-CNN's examples are spoken by espeak-ng; install it, e.g. apt-get install espeak-ng"
        )
    classes = random.integers(len(KEYWORDS) + 2, size=count)
    said = [_chosen(int(index), random) for index in classes]
    with ThreadPoolExecutor() as pool:
        sounds = list(pool.map(_sound, said))
    clips = np.stack([_second(sound, random) for sound in sounds])
    return _features(clips), classes


def _chosen(index: int, random: np.random.Generator) -> _Said:
    voice = str(random.choice(_ACCENTS)) + str(random.choice(_VOICES))
    pitch, speed = int(random.integers(20, 81)), int(random.integers(110, 190))
    other = str(random.choice(_OTHERS.split()))
    return _Said([*KEYWORDS, other, ""][index], voice, pitch, speed)


def _sound(said: _Said) -> Floats:
    """Samples from −1 to 1, without the silence around them."""
    if not said.word:
        return np.zeros(0, np.float32)
    options = ["-v", said.voice, "-p", str(said.pitch), "-s", str(said.words_per_minute)]
    wav = subprocess.run(
        ["espeak-ng", *options, "--stdout", said.word], capture_output=True, check=True
    ).stdout
    data = wav[wav.index(b"data") + 8 :]
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32)
    samples = resample_poly(samples / 2**15, _UP, _DOWN).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _second(sound: Floats, random: np.random.Generator) -> Floats:
    """One second: the sound near its middle, at some loudness, in noise."""
    sound = sound[: _RATE - 1000]
    clip = random.normal(scale=10 ** random.uniform(-4, -2.3), size=_RATE)
    if len(sound):
        room = _RATE - len(sound)
        start = int(np.clip(room // 2 + random.integers(-800, 800), 0, room))
        clip[start : start + len(sound)] += sound / np.abs(sound).max() * random.uniform(0.2, 0.9)
    return np.clip(clip, -1, 1).astype(np.float32)


def _features(clips: Floats) -> Floats:
    import tensorflow as tf
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    @tf.function(input_signature=[tf.TensorSpec([_RATE], tf.int16)])
    def bands(clip: tf.Tensor) -> tf.Tensor:
        return audio_microfrontend_op.audio_microfrontend(
            clip,
            sample_rate=_RATE,
            window_size=30,
            window_step=20,
            num_channels=10,
            lower_band_limit=20.0,
            upper_band_limit=4000.0,
            min_signal_remaining=1.0,
            enable_pcan=False,
            out_type=tf.float32,
        )

    found = np.stack(
        [bands(tf.constant(np.round(clip * 32767).astype(np.int16))).numpy() for clip in clips]
    )
    return np.pad(np.clip(found / 4, 0, 255), ((0, 0), (0, 50 - found.shape[1]), (0, 0))).astype(np.float32)
