// Bundles the composition, before anything is measured: node bundle.mjs FOLDER
import { bundle } from "@remotion/bundler";

const here = new URL(".", import.meta.url).pathname;
await bundle({
  entryPoint: `${here}src/index.jsx`,
  outDir: process.argv[2],
  publicDir: `${here}../.env/fonts`,
});
