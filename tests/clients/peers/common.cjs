// What the Node peers share: where the daemon is, how to publish, how to wait, and pages bundled for Node.
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const path = require("node:path");

const ports = JSON.parse(process.env.PORTS);

function command(name) {
  const [program, ...prefix] = JSON.parse(process.env[name]);
  return (...args) => execFileSync(program, [...prefix, ...args.slice(0, -1), JSON.stringify(args.at(-1))]);
}

async function until(what, found) {
  for (let tries = 0; tries < 1000; tries++) {
    if (found()) return;
    await pause(10);
  }
  assert.fail(`never: ${what}`);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// The modules of a checkout, TypeScript and all, as one that Node can load.
async function load(checkout, files) {
  const contents = files.map((file) => `export * from ${JSON.stringify(path.resolve(checkout, file))};`).join("\n");
  const { outputFiles } = await require("esbuild").build({
    stdin: { contents, resolveDir: checkout },
    bundle: true,
    format: "cjs",
    platform: "node",
    write: false,
    tsconfigRaw: {},
    nodePaths: process.env.NODE_PATH.split(path.delimiter),
  });
  const module = { exports: {} };
  new Function("module", "exports", "require", outputFiles[0].text)(module, module.exports, require);
  return module.exports;
}

setTimeout(() => assert.fail("not done in 60 s"), 60_000).unref();

module.exports = { load, notify: command("NOTIFY"), pause, ports, publish: command("PUBLISH"), until };
