"""A TFLite file on the runtime of browsers: LiteRT.js in headless Chromium, driven by Node and Playwright."""
