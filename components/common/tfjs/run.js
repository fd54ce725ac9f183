// Predicts examples with a model of TensorFlow.js in Node, on the wasm backend, and in a headless Chromium.
// Argument: the folder of npm's modules. Standard input: {"model": folder, "inputs": {name: file}, "count": examples,
// "browser": {"program": Chromium, "modules": folder of playwright-core} or null}. Standard output:
// {"node": {name: values}, "browser": {name: values} or null}.
import {readFile} from 'node:fs/promises';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {dirname, extname, join, normalize} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {load, predict} from './predict.js';

const modules = process.argv[2];
const here = dirname(fileURLToPath(import.meta.url));
const asked = JSON.parse(await text(process.stdin));
const json = JSON.parse(await readFile(join(asked.model, 'model.json'), 'utf8'));
const shards = json.weightsManifest.flatMap((group) => group.paths);
const weights = Buffer.concat(await Promise.all(shards.map((path) => readFile(join(asked.model, path)))));

function whole(buffer) {
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}

async function inNode() {
  const require = createRequire(join(modules, 'index.js'));
  console.log = console.info = console.warn = (...words) => console.error(...words); // it advertises
  const tf = require('@tensorflow/tfjs-core');
  const {loadGraphModel} = require('@tensorflow/tfjs-converter');
  require('@tensorflow/tfjs-backend-wasm');
  if (!await tf.setBackend('wasm')) throw new Error('the wasm backend does not start');
  const model = await load(tf, loadGraphModel, json, whole(weights));
  const inputs = {};
  for (const [name, path] of Object.entries(asked.inputs)) inputs[name] = whole(await readFile(path));
  const made = await predict(tf, model, json, inputs, asked.count);
  return Object.fromEntries(Object.entries(made).map(([name, values]) => [name, [...values]]));
}

async function inBrowser({program, modules: driver}) {
  const TYPES = {'.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm'};
  const files = Object.keys(asked.inputs);
  async function content(path) {
    if (path === 'weights') return weights;
    const [root, ...rest] = path.split('/');
    if (root === 'inputs') return readFile(asked.inputs[files[Number(rest[0])]]);
    const folder = {modules, model: asked.model}[root];
    return readFile(folder ? join(folder, ...rest) : join(here, path));
  }
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname)).slice(1);
    try {
      const body = await content(path);
      response.writeHead(200, {'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream'}).end(body);
    } catch (error) {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {chromium} = createRequire(join(driver, 'index.js'))('playwright-core');
  const browser = await chromium.launch({executablePath: program, headless: true});
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
    await page.waitForFunction('window.run', null, {timeout: 120000});
    const inputs = Object.fromEntries(files.map((name, index) => [name, `inputs/${index}`]));
    return await page.evaluate(([inputs, count]) => window.run(inputs, count), [inputs, asked.count]);
  } finally {
    await browser.close();
    server.close();
  }
}

const found = {node: await inNode(), browser: asked.browser ? await inBrowser(asked.browser) : null};
process.stdout.write(JSON.stringify(found), () => process.exit(0));
