// Loads, runs and times TFLite files with LiteRT.js. host.js calls the functions of `paredown`.
import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

const ARRAYS = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
const models = new Map();

function ports(details) {
  return details.map(({name, dtype, shape}) => ({name, dtype, shape: [...shape]}));
}

async function load(id, url) {
  const content = new Uint8Array(await (await fetch(url)).arrayBuffer());
  const model = await loadAndCompile(content, {accelerator: 'wasm'});
  // Types that LiteRT.js does not have are refused here.
  const found = {inputs: ports(model.getInputDetails()), outputs: ports(model.getOutputDetails())};
  models.get(id)?.delete();
  models.set(id, model);
  return found;
}

function unload(id) {
  models.get(id)?.delete();
  models.delete(id);
}

function product(shape) {
  return shape.reduce((all, size) => all * size, 1);
}

// The tensors of one example.
function tensors(model, arrays, example) {
  return Object.fromEntries(model.getInputDetails().map(({name, shape}) => {
    const count = product([...shape]);
    const values = arrays[name].slice(example * count, (example + 1) * count);
    return [name, new Tensor(values, [...shape])];
  }));
}

function free(named) {
  for (const tensor of Object.values(named)) tensor.delete();
}

async function fetched(model, inputs) {
  const arrays = {};
  for (const {name, dtype} of model.getInputDetails()) {
    arrays[name] = new ARRAYS[dtype](await (await fetch(inputs[name])).arrayBuffer());
  }
  return arrays;
}

// Predicts `count` examples, one by one, and posts each output's values, one example after the other.
async function run(id, inputs, count, outputs) {
  const model = models.get(id);
  const arrays = await fetched(model, inputs);
  const made = {};
  for (const {name, dtype, shape} of model.getOutputDetails()) {
    made[name] = new ARRAYS[dtype](count * product([...shape]));
  }
  for (let example = 0; example < count; example++) {
    const given = tensors(model, arrays, example);
    const found = await model.run(given);
    for (const [name, tensor] of Object.entries(found)) {
      const values = tensor.toTypedArray();
      made[name].set(values, example * values.length);
    }
    free(given);
    free(found);
  }
  for (const [name, url] of Object.entries(outputs)) {
    const answer = await fetch(url, {method: 'POST', body: made[name]});
    if (!answer.ok) throw new Error(`${name} could not be written`);
  }
}

// Milliseconds that a timing takes at least, 100 ticks of the clock of an isolated page.
const LEAST = 0.5;

// Times files in turns on one example each. Who goes first changes each turn. If an inference takes less than LEAST, a
// time is the mean of as many as that takes, the same number for each file.
async function time(ids, inputs, warmup, repetitions) {
  const given = [];
  for (const id of ids) {
    const model = models.get(id);
    given.push(tensors(model, await fetched(model, inputs[id]), 0));
  }
  const runs = ids.map((id, which) => async () => free(await models.get(id).run(given[which])));
  for (let turn = 0; turn < warmup; turn++) {
    for (const one of runs) await one();
  }
  let fastest = LEAST;
  for (const one of runs) {
    const start = performance.now();
    for (let turn = 0; turn < 10; turn++) await one();
    fastest = Math.min(fastest, (performance.now() - start) / 10);
  }
  const count = Math.ceil(LEAST / Math.max(fastest, LEAST / 100));
  const times = ids.map(() => []);
  for (let turn = 0; turn < repetitions; turn++) {
    const order = turn % 2 ? [...ids.keys()] : [...ids.keys()].reverse();
    for (const which of order) {
      const start = performance.now();
      for (let inference = 0; inference < count; inference++) await runs[which]();
      times[which].push((performance.now() - start) / count);
    }
  }
  given.forEach(free);
  return {times, isolated: crossOriginIsolated};
}

await loadLiteRt('./modules/@litertjs/core/wasm/');
window.paredown = {load, unload, run, time};
