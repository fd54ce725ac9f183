// Loads the model and predicts, with LiteRT.js. Everything it needs is in this folder; types are in model.d.ts.
import {loadAndCompile, loadLiteRt, Tensor} from './litert/core.js';

const ARRAYS = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
const HERE = new URL('./', import.meta.url).href;

let runtime = null;

async function fetched(name) {
  const answer = await fetch(HERE + name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer;
}

// Real values as the integers that a quantized tensor holds: rounded half to even, then clipped.
function quantized(value, {scale, zero_point}) {
  const exact = value / scale;
  let steps = Math.round(exact);
  if (Math.abs(exact % 1) === 0.5 && steps % 2 !== 0) steps -= 1;
  return Math.min(255, Math.max(0, steps + zero_point));
}

function stored(values, port) {
  const count = port.shape.reduce((all, size) => all * size, 1);
  if (values?.length !== count) {
    throw new Error(`input ${port.name} needs ${count} values, and got ${values?.length ?? 'none'}`);
  }
  const array = ARRAYS[port.dtype];
  return port.scale ? array.from(values, (value) => quantized(value, port)) : array.from(values);
}

function real(values, {scale, zero_point}) {
  return scale ? Float32Array.from(values, (value) => (value - zero_point) * scale) : values;
}

export async function load() {
  runtime ??= loadLiteRt(`${HERE}litert/wasm/`);
  await runtime;
  const {inputs, outputs} = await (await fetched('model.json')).json();
  const content = new Uint8Array(await (await fetched('model.tflite')).arrayBuffer());
  const model = await loadAndCompile(content, {accelerator: 'wasm'});
  return {
    inputs,
    outputs,
    async predict(features) {
      const tensors = Object.fromEntries(
        inputs.map((port) => [port.name, new Tensor(stored(features[port.name], port), port.shape)]),
      );
      const found = await model.run(tensors);
      const values = Object.fromEntries(
        outputs.map((port) => [port.name, real(found[port.name].toTypedArray().slice(), port)]),
      );
      for (const tensor of [...Object.values(tensors), ...Object.values(found)]) tensor.delete();
      return values;
    },
    close() {
      model.delete();
    },
  };
}
