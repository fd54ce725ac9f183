// Opens a page of a folder in Chromium without any other network, and prints what it shows.
// Arguments: the folder of npm's modules, Chromium's program, the page's address, JavaScript to evaluate.
import {createRequire} from 'node:module';
import {join} from 'node:path';

const [modules, program, address, script] = process.argv.slice(2);
const {chromium} = createRequire(join(modules, 'index.js'))('playwright-core');
const browser = await chromium.launch({executablePath: program, headless: true});
const page = await browser.newPage();
const elsewhere = [];
await page.route('**/*', (route) => {
  if (route.request().url().startsWith(new URL('./', address).href)) return route.continue();
  elsewhere.push(route.request().url());
  return route.abort();
});
await page.goto(address);
await page.waitForFunction('document.body.dataset.state', null, {timeout: 60000});
const state = await page.evaluate('({...document.body.dataset, text: document.body.innerText})');
const result = state.state === 'done' ? await page.evaluate(script) : null;
console.log(JSON.stringify({...state, elsewhere, result}));
await browser.close();
