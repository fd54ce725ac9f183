// Serves page.js to a headless Chromium, and calls its functions. Commands are lines of JSON on standard input, and
// so are their answers on standard output: {"id": 1, "result": …} or {"id": 1, "error": "…"}.
// Arguments: the folder of npm's modules, Chromium's program. Ends, with the browser, when standard input does.
import {randomUUID} from 'node:crypto';
import {createReadStream, createWriteStream} from 'node:fs';
import {readFile, stat} from 'node:fs/promises';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {dirname, extname, join, normalize} from 'node:path';
import {createInterface} from 'node:readline';
import {pipeline} from 'node:stream/promises';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {brotliCompress, constants} from 'node:zlib';

const [modules, program] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const TYPES = {'.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm'};
// Cross-origin isolation gives the page a clock of 5 microseconds; otherwise it is 100.
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cache-Control': 'no-store',
};

// What else runs on this machine does not know the secret, so it can neither read nor write files here.
const secret = randomUUID();
const files = new Map();

function issued(path) {
  const token = `${files.size}`;
  files.set(token, path);
  return `./files/${token}`;
}

function found(url) {
  const [, given, ...rest] = decodeURIComponent(new URL(url, 'http://localhost').pathname).split('/');
  if (given !== secret) return null;
  if (rest[0] === 'files') return files.get(rest[1]) ?? null;
  const inside = normalize(rest.join('/'));
  if (inside.startsWith('..')) return null;
  return rest[0] === 'modules' ? join(modules, inside.slice('modules/'.length)) : join(here, inside);
}

const server = createServer(async (request, response) => {
  try {
    const path = found(request.url);
    if (path === null) {
      response.writeHead(404).end();
    } else if (request.method === 'POST') {
      await pipeline(request, createWriteStream(path));
      response.writeHead(204, HEADERS).end();
    } else {
      const {size} = await stat(path);
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      response.writeHead(200, {...HEADERS, 'Content-Type': type, 'Content-Length': size});
      await pipeline(createReadStream(path), response);
    }
  } catch (error) {
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
});

async function opened() {
  const {chromium} = createRequire(join(modules, 'index.js'))('playwright-core');
  const browser = await chromium.launch({executablePath: program, headless: true, handleSIGINT: false});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  const log = [];
  page.on('console', (message) => {
    if (message.type() === 'error') log.push(message.text());
  });
  page.on('pageerror', (error) => log.push(error.message));
  page.on('crash', () => {
    console.error('the page crashed');
    process.exit(1);
  });
  await page.goto(`http://127.0.0.1:${server.address().port}/${secret}/page.html`);
  await page.waitForFunction('window.paredown', null, {timeout: 120000}).catch((error) => {
    throw new Error(log.join('; ') || error.message);
  });
  return {browser, page, log};
}

const commands = {
  async version(session) {
    return {browser: session.browser.version()};
  },
  async load(session, {model, path}) {
    return called(session, 'load', model, issued(path));
  },
  async unload(session, {model}) {
    return called(session, 'unload', model);
  },
  async run(session, {model, inputs, count, outputs}) {
    return called(session, 'run', model, urls(inputs), count, urls(outputs));
  },
  async time(session, {models, inputs, warmup, repetitions}) {
    const given = Object.fromEntries(Object.entries(inputs).map(([model, paths]) => [model, urls(paths)]));
    return called(session, 'time', models, given, warmup, repetitions);
  },
};

function urls(paths) {
  return Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, issued(path)]));
}

// Calls a function of the page. What C++ wrote to the console says more than the exception, and is all there is if a
// kernel cannot be prepared: LiteRT.js then returns outputs that nothing computed.
async function called({page, log}, name, ...given) {
  log.length = 0;
  const answer = await page.evaluate(
    async ([name, given]) => {
      try {
        return {result: await window.paredown[name](...given)};
      } catch (error) {
        return {error: String(error?.message ?? error)};
      }
    },
    [name, given],
  );
  if (name !== 'load' && log.some((line) => line.startsWith('ERROR'))) {
    answer.error ??= 'it returned outputs that it did not compute';
  }
  if (answer.error !== undefined) throw new Error([answer.error, ...log].join('\n'));
  return answer.result;
}

// The bytes of a file as a web server sends it to browsers that take Brotli, at the highest level.
async function brotli(path) {
  const content = await readFile(path);
  const params = {[constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length};
  return (await promisify(brotliCompress)(content, {params})).length;
}

let session = null;
for await (const line of createInterface({input: process.stdin})) {
  const {id, command, ...options} = JSON.parse(line);
  let answer;
  try {
    if (command === 'brotli') {
      answer = {id, result: await brotli(options.path)};
    } else {
      session ??= await opened();
      answer = {id, result: await commands[command](session, options)};
    }
  } catch (error) {
    answer = {id, error: String(error?.message ?? error)};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await session?.browser.close();
process.exit(0);
