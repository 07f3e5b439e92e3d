// Ask a converted model, in Node or on a page. `tf` is TensorFlow.js.

const PATIENCE_MS = 20000;

// Outputs by name, { shape, data }, and the median time of an answer [s].
async function answer(tf, model, signature, inputs, repeats) {
  const given = {};
  for (const [name, { shape, data }] of Object.entries(inputs)) {
    given[name] = tf.tensor(Float32Array.from(data), shape, 'float32');
  }
  const names = Object.keys(signature.outputs);
  const nodes = names.map((name) => signature.outputs[name].name);
  const times = [];
  let outputs = {};
  const first = performance.now();
  // The first time is the graph's own preparation, the second always counts.
  for (let i = 0; i <= repeats; i++) {
    const start = performance.now();
    if (i > 1 && start - first > PATIENCE_MS) break;
    const found = [await model.executeAsync(given, nodes)].flat();
    outputs = {};
    for (let j = 0; j < names.length; j++) {
      // NaN, which padding is, has no word in JSON: null.
      const data = Array.from(await found[j].data());
      outputs[names[j]] = { shape: found[j].shape, data };
    }
    tf.dispose(found);
    if (i > 0) times.push((performance.now() - start) / 1000);
  }
  times.sort((a, b) => a - b);
  return { outputs, seconds: times[Math.floor(times.length / 2)] };
}

if (typeof module !== 'undefined') module.exports = { answer };
