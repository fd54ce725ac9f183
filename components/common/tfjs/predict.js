// Predicts examples with a graph model of TensorFlow.js, in Node and in a browser.
const ARRAYS = {DT_FLOAT: ['float32', Float32Array], DT_INT32: ['int32', Int32Array]};
const TOGETHER = 64; // examples

// Loads the model of model.json's content and its weights, an ArrayBuffer.
export function load(tf, loadGraphModel, json, weightData) {
  const weightSpecs = json.weightsManifest.flatMap((group) => group.weights);
  return loadGraphModel(tf.io.fromMemory({...json, weightSpecs, weightData}));
}

// `inputs`: name → ArrayBuffer of `count` examples. Returns name → Float32Array, one example after the other.
export async function predict(tf, model, {signature}, inputs, count) {
  const ports = Object.entries(signature.inputs).map(([name, {name: tensor, dtype, tensorShape}]) => {
    if (!ARRAYS[dtype]) throw new Error(`input ${name} is ${dtype}, and only float32 and int32 can be fed`);
    const shape = (tensorShape.dim ?? []).slice(1).map(({size}) => Number(size));
    const [type, array] = ARRAYS[dtype];
    return {tensor, type, shape, length: shape.reduce((all, size) => all * size, 1), values: new array(inputs[name])};
  });
  const names = Object.keys(signature.outputs);
  const tensors = names.map((name) => signature.outputs[name].name);
  const made = names.map(() => []);
  for (let from = 0; from < count; from += TOGETHER) {
    const size = Math.min(TOGETHER, count - from);
    const given = Object.fromEntries(ports.map(({tensor, type, shape, length, values}) => [
      tensor, tf.tensor(values.slice(from * length, (from + size) * length), [size, ...shape], type),
    ]));
    const found = [model.execute(given, tensors)].flat();
    for (const [index, tensor] of found.entries()) made[index].push(await tensor.data());
    tf.dispose([given, found]);
  }
  return Object.fromEntries(names.map((name, index) => [name, Float32Array.from(made[index].flatMap((part) => [...part]))]));
}
