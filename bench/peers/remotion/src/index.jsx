// The peer scene as a Remotion composition: SVG elements in React.
import React from "react";
import {
  AbsoluteFill,
  Composition,
  continueRender,
  delayRender,
  registerRoot,
  staticFile,
  useCurrentFrame,
  useVideoConfig,
} from "remotion";
import scene from "../../scene/scene.json";
import { moment, usd } from "../../scene/motion.mjs";

const c = scene.colours;

const waiting = delayRender("fonts");
Promise.all(
  [["Medium", "500"], ["Bold", "700"]].map(async ([name, weight]) => {
    const url = `url(${staticFile(`Figtree-${name}.ttf`)})`;
    document.fonts.add(await new FontFace("Figtree", url, { weight }).load());
  }),
).then(() => continueRender(waiting));

const Say = ({ x, y, size, weight = 500, anchor = "middle", fill = c.ink, children }) => (
  <text x={x} y={y} fontSize={size} fontWeight={weight} textAnchor={anchor} fill={fill}>
    {children}
  </text>
);

const Panel = ({ x, y, width, height }) => (
  <>
    <rect x={x} y={y + 6} width={width} height={height} rx={20} fill={c.ink} fillOpacity={0.08} />
    <rect x={x} y={y} width={width} height={height} rx={20} fill={c.white} />
  </>
);

const Chart = ({ now }) => {
  const [x, y] = now.line.at(-1);
  return (
    <>
      <Panel x={64} y={136} width={760} height={520} />
      {scene.axis.map((words, index) => (
        <React.Fragment key={words}>
          <line
            x1={140} y1={584 - 96 * index} x2={796} y2={584 - 96 * index}
            stroke={c.line} strokeWidth={2}
          />
          <Say x={126} y={591 - 96 * index} size={20} anchor="end" fill={c.ink_2}>{words}</Say>
        </React.Fragment>
      ))}
      {now.bars.map((amount, index) => (
        <React.Fragment key={scene.months[index]}>
          <rect
            x={164 + 106 * index} y={584 - 0.096 * amount} width={72} height={0.096 * amount}
            fill={scene.income[index] < 3000 ? c.water : c.green}
          />
          <Say x={200 + 106 * index} y={618} size={22} fill={c.ink_2}>{scene.months[index]}</Say>
          <Say x={200 + 106 * index} y={572 - 0.096 * amount} size={22} weight={700}>
            {usd(amount)}
          </Say>
        </React.Fragment>
      ))}
      <polyline
        points={now.line.map((spot) => spot.join(",")).join(" ")} fill="none" stroke={c.orchid}
        strokeWidth={5} strokeLinejoin="round" strokeLinecap="round"
      />
      <circle cx={x} cy={y} r={9} fill={c.white} stroke={c.orchid} strokeWidth={4} />
    </>
  );
};

const Ring = ({ now }) => {
  const end = `${1040 + 92 * Math.cos(now.angle)} ${250 + 92 * Math.sin(now.angle)}`;
  return (
    <>
      <circle cx={1040} cy={250} r={92} fill="none" stroke={c.line} strokeWidth={24} />
      <path
        d={`M1040 158 A92 92 0 ${now.share > 50 ? 1 : 0} 1 ${end}`} fill="none"
        stroke={c.green} strokeWidth={24}
      />
      <Say x={1040} y={265} size={44} weight={700}>{`${Math.round(now.share)}%`}</Say>
      <Say x={1040} y={392} size={22} fill={c.ink_2}>{scene.goal_label}</Say>
      <Say x={1040} y={450} size={52} weight={700}>{usd(now.saved)}</Say>
      <Say x={1040} y={484} size={22} fill={c.ink_2}>{scene.saved_label}</Say>
    </>
  );
};

const Card = ({ now }) => (
  <g transform={`translate(${380 * (1 - now.come)} 0)`} opacity={now.come}>
    <Panel x={864} y={512} width={352} height={144} />
    <circle cx={918} cy={584} r={30} fill={c.green_light} />
    <path
      d="M904 585 L914 595 L933 573" fill="none" stroke={c.green_dark} strokeWidth={6}
      strokeLinecap="round" strokeLinejoin="round"
    />
    <Say x={966} y={554} size={24} weight={700} anchor="start">{scene.card_title}</Say>
    <Say x={966} y={586} size={20} anchor="start" fill={c.ink_2}>{scene.card_body}</Say>
    <Say x={966} y={632} size={34} weight={700} anchor="start" fill={c.green_dark}>
      {`+${usd(scene.card_amount * now.come)}`}
    </Say>
  </g>
);

const Peer = () => {
  const { fps } = useVideoConfig();
  const now = moment(scene, useCurrentFrame() / fps);
  const background = `linear-gradient(${c.sky}, ${c.ground})`;
  return (
    <AbsoluteFill style={{ background }}>
      <svg width={1280} height={720} style={{ fontFamily: "Figtree", fontVariantNumeric: "tabular-nums" }}>
        <Say x={64} y={68} size={40} weight={700} anchor="start">{scene.title}</Say>
        <Say x={64} y={106} size={24} anchor="start" fill={c.ink_2}>{scene.subtitle}</Say>
        <rect x={0} y={710} width={now.elapsed} height={10} fill={c.indigo} />
        <g transform={`translate(0 ${now.lift})`}>
          <Chart now={now} />
          <Ring now={now} />
          <Card now={now} />
        </g>
      </svg>
    </AbsoluteFill>
  );
};

registerRoot(() => (
  <Composition
    id="peer"
    component={Peer}
    width={scene.width}
    height={scene.height}
    fps={scene.fps}
    durationInFrames={scene.fps * scene.seconds}
  />
));
