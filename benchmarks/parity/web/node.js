// Answer one question in Node:
// node node.js NODE_MODULES BACKEND MODEL_FOLDER GIVEN.json ANSWER.json REPEATS
const fs = require('fs');
const path = require('path');
const { answer } = require('./answer.js');

async function main() {
  const [modules, backend, folder, given, target, repeats] =
    process.argv.slice(2);
  const tf = require(path.join(modules, '@tensorflow/tfjs'));
  if (backend === 'wasm') {
    const name = '@tensorflow/tfjs-backend-wasm';
    const wasm = require(path.join(modules, name));
    wasm.setWasmPaths(path.join(modules, name, 'dist') + path.sep);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`no ${backend}`);
  const read = (name) => fs.readFileSync(path.join(folder, name));
  const stored = JSON.parse(read('model.json'));
  const manifest = stored.weightsManifest;
  const parts = manifest.flatMap((group) => group.paths).map(read);
  const weights = Buffer.concat(parts);
  const model = await tf.loadGraphModel(
    tf.io.fromMemory({
      modelTopology: stored.modelTopology,
      signature: stored.signature,
      format: stored.format,
      weightSpecs: manifest.flatMap((group) => group.weights),
      weightData: new Uint8Array(weights).buffer,
    })
  );
  const inputs = JSON.parse(fs.readFileSync(given));
  const found = await answer(tf, model, stored.signature, inputs, +repeats);
  fs.writeFileSync(target, JSON.stringify(found));
}

main().catch((error) => {
  console.error(String(error.stack || error).slice(0, 2000));
  process.exit(1);
});
