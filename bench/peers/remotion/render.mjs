// Renders the bundled composition: node render.mjs BUNDLE jpeg|png OUTPUT
import { openBrowser, renderMedia, selectComposition } from "@remotion/renderer";

const [serveUrl, imageFormat, outputLocation] = process.argv.slice(2);
const browserExecutable = process.env.PEER_CHROMIUM ?? "/usr/bin/chromium-headless-shell";
const chromeMode = "headless-shell";
// One browser for both steps, as documented: it saves a start.
const puppeteerInstance = await openBrowser("chrome", { browserExecutable, chromeMode });
const shared = { serveUrl, puppeteerInstance, browserExecutable, chromeMode, logLevel: "error" };
const composition = await selectComposition({ ...shared, id: "peer" });
await renderMedia({
  ...shared,
  composition,
  codec: "h264",
  x264Preset: "veryfast",
  crf: 18,
  pixelFormat: "yuv420p",
  colorSpace: "bt709",
  muted: true,
  imageFormat,
  concurrency: 2,
  outputLocation,
  ffmpegOverride: ({ type, args }) =>
    type === "stitcher" ? args : [...args.slice(0, -1), "-threads", "2", ...args.slice(-1)],
});
await puppeteerInstance.close({ silent: true });
