// Where the sound comes from: the microphone, or a file played at the speed at which it was spoken.

import { RATE } from "./tape.js";

const WORKLET = new URL("worklet.js", import.meta.url);
const QUIET = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const FLUSH_MS = 500; // a device that is gone may not answer

/**
 * A source that calls `onFrame({pcm: Int16Array, peak})` every 50 ms until it is stopped, `onEnd(error)` at its own end,
 * with an error if nobody wanted that, and `onPause(isPaused)` when the system takes the microphone away and gives it back.
 */
export async function openMicrophone(listener) {
  if (!navigator.mediaDevices) throw new Error("insecure");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: QUIET });
  const release = () => stream.getTracks().forEach((track) => track.stop());
  const [track] = stream.getAudioTracks();
  track.onended = () => listener.onEnd({ name: "unplugged" });
  track.onmute = () => listener.onPause(true);
  track.onunmute = () => listener.onPause(false);
  try {
    const { context, node } = await contextFor((context) => context.createMediaStreamSource(stream));
    return await tap(context, node, listener, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** The same for a file, which is heard through the speakers meanwhile. */
export async function openFile(file, listener) {
  const bytes = await file.arrayBuffer();
  const context = new AudioContext({ sampleRate: RATE });
  try {
    const node = context.createBufferSource();
    node.buffer = await context.decodeAudioData(bytes);
    node.onended = () => listener.onEnd();
    node.connect(context.destination);
    const source = await tap(context, node, listener, () => {});
    node.start();
    return source;
  } catch (error) {
    await context.close();
    throw error;
  }
}

/** A context at 16 kHz; where the browser cannot join it to the device's own rate (Firefox), one at that rate. */
async function contextFor(makeNode) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return { context, node: makeNode(context) };
  } catch {
    await context.close();
    const native = new AudioContext();
    return { context: native, node: makeNode(native) };
  }
}

async function tap(context, node, { onFrame, onPause }, release) {
  await context.audioWorklet.addModule(WORKLET);
  const worklet = new AudioWorkletNode(context, "pcm-tap", { numberOfOutputs: 0 });
  let flushed;
  const ended = new Promise((resolve) => (flushed = resolve));
  worklet.port.onmessage = ({ data }) => (data.flushed ? flushed() : onFrame(data));
  node.connect(worklet);
  await context.resume();
  const wake = () => context.resume().catch(() => {}); // refused while the system holds the sound
  context.onstatechange = () => {
    onPause(context.state !== "running");
    if (context.state !== "running") wake();
  };
  let stopping = null;
  async function stop() {
    context.onstatechange = null;
    worklet.port.postMessage("flush");
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    node.disconnect();
    release();
    await context.close();
  }
  return { wake, stop: () => (stopping ??= stop()) };
}
