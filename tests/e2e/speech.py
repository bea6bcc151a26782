"""The sample, its words, and recordings made from it."""
import array
import io
import wave

SENTENCE = ("And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your "
            "country.")
# The end of it, as every model writes it.
ENDING = "ask what you can do for your country"


def repeated(sample, times):
    """The sample a number of times, one after the other, as a WAV file."""
    file = io.BytesIO()
    with wave.open(str(sample)) as source, wave.open(file, "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()) * times)
    return file.getvalue()


def telephone_call(sample, delay_s):
    """The sample in one channel and, `delay_s` later, in the other, as a WAV file."""
    file = io.BytesIO()
    with wave.open(str(sample)) as source, wave.open(file, "wb") as stereo:
        assert (source.getnchannels(), source.getsampwidth()) == (1, 2), "the sample has one channel of 16 bits"
        stereo.setparams(source.getparams()._replace(nchannels=2))
        speech, silence = source.readframes(source.getnframes()), bytes(2 * source.getframerate() * delay_s)
        pairs = bytearray(2 * len(speech + silence))
        for channel, samples in enumerate([speech + silence, silence + speech]):
            for byte in range(2):
                pairs[2 * channel + byte::4] = samples[byte::2]
        stereo.writeframes(pairs)
    return file.getvalue()


def resampled(samples, rate):
    """16-bit samples of 16 kHz at a multiple of 8 kHz, by linear interpolation."""
    source = array.array("h", samples)
    length = len(source) * rate // 16_000
    result = array.array("h")
    for index in range(length):
        at = index * 16_000 / rate
        left = int(at)
        right = min(left + 1, len(source) - 1)
        result.append(round(source[left] + (at - left) * (source[right] - source[left])))
    return result.tobytes()


def chunks(data, size):
    """The data in pieces of this size; the last may be shorter."""
    return [data[at:at + size] for at in range(0, len(data), size)]
