// Runs GGUF files in llama.cpp. node llama.js CASES.json: a list of {file, sequences, texts}; prints a list of
// {file, nll, best, tokens} or {file, error}.
//
//   sequences   lists of token ids; nll: mean nats per prediction of each, best: the likeliest token at every position
//   texts       strings; tokens: their ids, without special tokens before or after them, names of special tokens parsed
import { readFileSync, writeFileSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, logger: (_, text) => log.push(text) });
const log = [];

// All probabilities, as they are: no sampler changes them.
const everything = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1 };

async function evaluate(sequence, ids) {
  await sequence.clearHistory();
  const wanted = ids.map((id) => [id, { generateNext: { token: true, probabilities: true, options: everything } }]);
  const results = await sequence.controlledEvaluate(wanted);
  let sum = 0;
  for (let i = 0; i + 1 < ids.length; ++i) sum -= Math.log(results[i].next.probabilities.get(ids[i + 1]) ?? 0);
  const best = results.map((r) => r.next.probabilities.keys().next().value);
  return { nll: sum / (ids.length - 1), best };
}

const results = [];
for (const { file, sequences = [], texts = [], pair = [], context: contextSize = 256 } of cases) {
  log.length = 0;
  let model;
  try {
    model = await llama.loadModel({ modelPath: file, gpuLayers: 0, useMmap: true, ignoreMemorySafetyChecks: true });
    const result = { file, nll: [], best: [], tokens: texts.map((t) => model.tokenize(t, true)) };
    if (sequences.length > 0) {
      const context = await model.createContext({
        contextSize, batchSize: 64, threads: 1, flashAttention: false, ignoreMemorySafetyChecks: true,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32", swaFullCache: true });
      const sequence = context.getSequence();
      for (const ids of sequences) {
        const { nll, best } = await evaluate(sequence, ids);
        result.nll.push(nll);
        result.best.push(best);
      }
      await context.dispose();
    }
    if (pair.length > 0) {  // an encoder: the cosine of two texts' embeddings
      const context = await model.createEmbeddingContext({ contextSize, threads: 1, ignoreMemorySafetyChecks: true });
      const [a, b] = [(await context.getEmbeddingFor(pair[0])).vector, (await context.getEmbeddingFor(pair[1])).vector];
      const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
      result.cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
      await context.dispose();
    }
    results.push(result);
  } catch (error) {
    results.push({ file, error: `${error.message} ${log.join(" ").slice(0, 600)}` });
  }
  if (model !== undefined) await model.dispose();
}
writeFileSync(1, JSON.stringify(results));
await llama.dispose();
