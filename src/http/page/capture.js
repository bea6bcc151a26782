// Takes sound from the microphone or from a browser tab: as samples at once, and recorded as a file.

/** Rate of the samples where the browser can choose it. */
const RATE_HZ = 24_000;
const RECORDED_BITS_PER_S = 64_000;
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

/** Why there is no sound: `key` names the text for the user. */
export class CaptureError extends Error {
  constructor(key, message = "") {
    super(message);
    this.key = key;
  }
}

async function openStream(source) {
  // Browsers leave it out on pages without https.
  if (!navigator.mediaDevices) throw new CaptureError("live.insecure");
  try {
    if (source !== "tab") return await navigator.mediaDevices.getUserMedia({ audio: true });
    // Browsers share the sound of a tab with its picture only.
    const shared = await navigator.mediaDevices.getDisplayMedia({ audio: true, video: true });
    if (shared.getAudioTracks().length > 0) return shared;
    shared.getTracks().forEach((track) => track.stop());
  } catch (error) {
    const keys = { NotAllowedError: "live.denied", NotFoundError: "live.nomicrophone" };
    const key = source === "tab" && error.name === "NotAllowedError" ? "live.notab" : keys[error.name];
    throw new CaptureError(key ?? "live.failed", error.message);
  }
  throw new CaptureError("live.notab");
}

async function connect(stream, onSamples) {
  let context = new AudioContext({ sampleRate: RATE_HZ });
  let source;
  try {
    source = context.createMediaStreamSource(stream);
  } catch {
    // Some browsers do not resample a microphone; the server does.
    await context.close();
    context = new AudioContext();
    source = context.createMediaStreamSource(stream);
  }
  await context.audioWorklet.addModule(new URL("pcm-worklet.js", import.meta.url));
  const worklet = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
  worklet.port.onmessage = ({ data }) => onSamples(data.buffer, data.level);
  source.connect(worklet);
  await context.resume();
  return context;
}

/**
 * Begins. `onSamples(buffer, level)` gets 100 ms at a time, `onEnd()` is called if the user stops the source.
 * Returns `{ rate, stop }`, where `stop()` becomes the recorded file.
 */
export async function capture(source, onSamples, onEnd) {
  const stream = await openStream(source);
  const sound = new MediaStream(stream.getAudioTracks());
  const context = await connect(sound, onSamples).catch((error) => {
    stream.getTracks().forEach((track) => track.stop());
    throw new CaptureError("live.failed", error.message);
  });
  const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(sound, { mimeType, audioBitsPerSecond: RECORDED_BITS_PER_S });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const recorded = new Promise((resolve) => {
    recorder.onstop = () => resolve(new Blob(parts, { type: recorder.mimeType }));
  });
  recorder.start(1_000);
  sound.getAudioTracks()[0].onended = onEnd;
  return {
    rate: context.sampleRate,
    async stop() {
      sound.getAudioTracks()[0].onended = null;
      if (recorder.state !== "inactive") recorder.stop();
      const file = await recorded;
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      return file;
    },
  };
}
