// Where the sound comes from: the microphone, or a file played at the speed at which it was spoken.

export const RATE = 16_000;

const WORKLET = new URL("worklet.js", import.meta.url);
const QUIET = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** A source that calls `onFrame({pcm: Int16Array, peak})` every 50 ms until it is stopped, and `onEnd()` at its own end. */
export async function openMicrophone(onFrame) {
  if (!navigator.mediaDevices) throw new Error("insecure");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: QUIET });
  const release = () => stream.getTracks().forEach((track) => track.stop());
  try {
    const { context, node } = await contextFor((context) => context.createMediaStreamSource(stream));
    return await tap(context, node, onFrame, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** The same for a file, which is heard through the speakers meanwhile. */
export async function openFile(file, onFrame, onEnd) {
  const bytes = await file.arrayBuffer();
  const context = new AudioContext({ sampleRate: RATE });
  try {
    const node = context.createBufferSource();
    node.buffer = await context.decodeAudioData(bytes);
    node.onended = onEnd;
    node.connect(context.destination);
    const source = await tap(context, node, onFrame, () => {});
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

async function tap(context, node, onFrame, release) {
  await context.audioWorklet.addModule(WORKLET);
  const worklet = new AudioWorkletNode(context, "pcm-tap", { numberOfOutputs: 0 });
  let flushed;
  const ended = new Promise((resolve) => (flushed = resolve));
  worklet.port.onmessage = ({ data }) => (data.flushed ? flushed() : onFrame(data));
  node.connect(worklet);
  await context.resume();
  return {
    async stop() {
      worklet.port.postMessage("flush");
      await ended;
      node.disconnect();
      release();
      await context.close();
    },
  };
}
