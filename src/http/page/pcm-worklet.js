// Runs in the audio thread: hands out 100 ms at a time as 16-bit samples of one channel, with their loudness.

class PcmWorklet extends AudioWorkletProcessor {
  #samples = new Int16Array(Math.round(sampleRate / 10));
  #count = 0;
  #squares = 0;

  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let index = 0; index < length; index += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[index];
      this.#push(Math.max(-1, Math.min(1, sum / channels.length)));
    }
    return true;
  }

  #push(value) {
    this.#samples[this.#count] = value < 0 ? value * 0x8000 : value * 0x7fff;
    this.#squares += value * value;
    this.#count += 1;
    if (this.#count < this.#samples.length) return;
    const { buffer } = this.#samples;
    this.port.postMessage({ buffer, level: Math.sqrt(this.#squares / this.#count) }, [buffer]);
    this.#samples = new Int16Array(Math.round(sampleRate / 10));
    this.#count = 0;
    this.#squares = 0;
  }
}

registerProcessor("pcm", PcmWorklet);
