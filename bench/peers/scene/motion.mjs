// The motion of the scene for the two JavaScript peers; the Python peers use motion.py.

export const progress = (t, start, seconds) => {
  const p = Math.min(1, Math.max(0, (t - start) / seconds));
  return p < 0.5 ? 4 * p ** 3 : 1 - (2 - 2 * p) ** 3 / 2;
};

export const usd = (value) => `$${Math.round(value).toLocaleString("en-US")}`;

const mix = (p, start, end) => start + (end - start) * p;

// Returns everything that changes, at second t.
export const moment = (scene, t) => {
  const drawn = 24 * progress(t, 0.2, 4.6);
  const n = Math.floor(drawn);
  const values = scene.balance;
  const tip = mix(drawn - n, values[n], values[Math.min(n + 1, 24)]);
  const line = values.slice(0, n + 1).map((value, index) => [152 + 26.5 * index, 584 - 0.096 * value]);
  const share = scene.goal_percent * progress(t, 0.1, 4.8);
  return {
    lift: 36 - 7.2 * t,
    elapsed: (1280 * t) / 5,
    bars: scene.income.map((value, index) => value * progress(t, 0.15 * index, 4.2)),
    line: [...line, [152 + 26.5 * drawn, 584 - 0.096 * tip]],
    share,
    angle: (2 * Math.PI * share) / 100 - Math.PI / 2,
    saved: scene.saved * progress(t, 0.2, 4.6),
    come: progress(t, 0.3, 4.5),
  };
};
