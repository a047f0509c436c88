// Label texts with Transformers.js: node consumers_node.mjs MODULE JOBS.json, where JOBS holds a list of {name, folder, options, texts}.
// Prints {NAME: [{label, score}, ...], ...} as JSON.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [module, file] = process.argv.slice(2);
const { pipeline, env } = await import(pathToFileURL(module).href);
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/";

const found = {};
for (const { name, folder, options, texts } of JSON.parse(readFileSync(file, "utf-8"))) {
  const config = options.config && JSON.parse(readFileSync(resolve(options.config), "utf-8"));
  const classify = await pipeline("text-classification", folder, config ? { ...options, config } : options);
  found[name] = [];
  for (const text of texts) found[name].push((await classify(text))[0]);
  await classify.dispose();
}
console.log(JSON.stringify(found));
