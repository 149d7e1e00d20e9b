// The peer scene drawn by hand with @napi-rs/canvas (Skia); raw frames go to ffmpeg.
// usage: node render.mjs OUTPUT
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createCanvas, GlobalFonts } from "@napi-rs/canvas";
import { moment, usd } from "../scene/motion.mjs";

const here = new URL("..", import.meta.url).pathname;
const scene = JSON.parse(readFileSync(`${here}scene/scene.json`, "utf-8"));
const { ffmpeg, settings } = JSON.parse(readFileSync(`${here}.out/encoder.json`, "utf-8"));
const c = scene.colours;
GlobalFonts.registerFromPath(`${here}.env/fonts/Figtree-Medium.ttf`, "Figtree");
GlobalFonts.registerFromPath(`${here}.env/fonts/Figtree-Bold.ttf`, "Figtree");

const canvas = createCanvas(scene.width, scene.height);
const page = canvas.getContext("2d");
// The card fades as a whole, so it has its own canvas: 864, 512 on the stage is 16, 16 there.
const aside = createCanvas(400, 192);
const leaf = aside.getContext("2d");
let ctx = page;
const sky = page.createLinearGradient(0, 0, 0, scene.height);
sky.addColorStop(0, c.sky);
sky.addColorStop(1, c.ground);

const say = (words, x, y, size, weight = 500, align = "center", fill = c.ink) => {
  ctx.font = `${weight} ${size}px Figtree`;
  ctx.textAlign = align;
  ctx.fillStyle = fill;
  ctx.fillText(words, x, y);
};
const rounded = (x, y, w, h, fill) => {
  ctx.fillStyle = fill;
  ctx.beginPath();
  ctx.roundRect(x, y, w, h, 20);
  ctx.fill();
};
const panel = (x, y, w, h) => {
  rounded(x, y + 6, w, h, `${c.ink}14`);
  rounded(x, y, w, h, c.white);
};
const disc = (x, y, r, fill) => {
  ctx.fillStyle = fill;
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  ctx.fill();
};
const arc = (x, y, r, from, to, width, stroke) => {
  ctx.lineWidth = width;
  ctx.strokeStyle = stroke;
  ctx.beginPath();
  ctx.arc(x, y, r, from, to);
  ctx.stroke();
};
const polyline = (points, width, stroke, cap = "round") => {
  ctx.lineWidth = width;
  ctx.strokeStyle = stroke;
  ctx.lineCap = cap;
  ctx.lineJoin = "round";
  ctx.beginPath();
  points.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
  ctx.lineCap = "butt";
};

const chart = (now) => {
  panel(64, 136, 760, 520);
  scene.axis.forEach((words, index) => {
    const y = 584 - 96 * index;
    polyline([[140, y], [796, y]], 2, c.line, "butt");
    say(words, 126, y + 7, 20, 500, "right", c.ink_2);
  });
  now.bars.forEach((amount, index) => {
    const x = 164 + 106 * index;
    const top = 584 - 0.096 * amount;
    ctx.fillStyle = scene.income[index] < 3000 ? c.water : c.green;
    ctx.fillRect(x, top, 72, 584 - top);
    say(scene.months[index], x + 36, 618, 22, 500, "center", c.ink_2);
    say(usd(amount), x + 36, top - 12, 22, 700);
  });
  polyline(now.line, 5, c.orchid);
  const [x, y] = now.line.at(-1);
  disc(x, y, 9, c.white);
  arc(x, y, 9, 0, 2 * Math.PI, 4, c.orchid);
};

const ring = (now) => {
  arc(1040, 250, 92, 0, 2 * Math.PI, 24, c.line);
  arc(1040, 250, 92, -Math.PI / 2, now.angle, 24, c.green);
  say(`${Math.round(now.share)}%`, 1040, 265, 44, 700);
  say(scene.goal_label, 1040, 392, 22, 500, "center", c.ink_2);
  say(usd(now.saved), 1040, 450, 52, 700);
  say(scene.saved_label, 1040, 484, 22, 500, "center", c.ink_2);
};

const card = (now) => {
  const x = 380 * (1 - now.come);
  const y = now.lift;
  ctx = leaf;
  ctx.clearRect(0, 0, 400, 192);
  ctx.save();
  // Fractions of a pixel are drawn and whole pixels are copied, so text stays sharp.
  ctx.translate(x - Math.floor(x) - 848, y - Math.floor(y) - 496);
  panel(864, 512, 352, 144);
  disc(918, 584, 30, c.green_light);
  polyline([[904, 585], [914, 595], [933, 573]], 6, c.green_dark);
  say(scene.card_title, 966, 554, 24, 700, "left");
  say(scene.card_body, 966, 586, 20, 500, "left", c.ink_2);
  say(`+${usd(scene.card_amount * now.come)}`, 966, 632, 34, 700, "left", c.green_dark);
  ctx.restore();
  ctx = page;
  ctx.globalAlpha = now.come;
  ctx.drawImage(aside, 848 + Math.floor(x), 496 + Math.floor(y));
  ctx.globalAlpha = 1;
};

const draw = (t) => {
  const now = moment(scene, t);
  ctx.fillStyle = sky;
  ctx.fillRect(0, 0, scene.width, scene.height);
  say(scene.title, 64, 68, 40, 700, "left");
  say(scene.subtitle, 64, 106, 24, 500, "left", c.ink_2);
  ctx.fillStyle = c.indigo;
  ctx.fillRect(0, 710, now.elapsed, 10);
  ctx.save();
  ctx.translate(0, now.lift);
  chart(now);
  ring(now);
  ctx.restore();
  card(now);
};

const size = `${scene.width}x${scene.height}`;
const reading = ["-f", "rawvideo", "-pix_fmt", "rgb0", "-s", size, "-r", `${scene.fps}`, "-i", "-"];
const encoder = spawn(
  ffmpeg,
  ["-hide_banner", "-v", "error", "-y", ...reading, ...settings, process.argv[2]],
  { stdio: ["pipe", "inherit", "inherit"] },
);
for (let index = 0; index < scene.fps * scene.seconds; index++) {
  draw(index / scene.fps);
  // data() is the canvas's own memory: ffmpeg must have it before the next frame is drawn.
  if (!encoder.stdin.write(canvas.data())) await once(encoder.stdin, "drain");
}
encoder.stdin.end();
const [code] = await once(encoder, "close");
process.exit(code);
