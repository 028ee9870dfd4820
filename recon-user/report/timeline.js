// Incidents over time: how many began when, and a lane for each source.
"use strict";

const LANES = 40;
const LABEL = 168;
const BAR = 7;
const DEEPEST = 6;
const OVERVIEW = 56;
const AXIS = 22;
const MARGIN = 40;
/** Incidents beside the axis that are named. */
const NAMED = 10;
/** Where the name of an axis ends: left of its first tick, which is centered. */
const AXIS_NAME = LABEL - 56;

/** A scale for times, also for a single one. */
function timeScale(from, to, left, right) {
  const pad = Math.max((to - from) * 0.01, 500);
  return charts.scaleUtc([new Date(from - pad), new Date(to + pad)], [left, right]);
}

/** Room for the longest text of a tick, such as `10:00:00.500`. */
const TICK = 96;

/** Times of ticks that have room for their texts. */
function timeTicks(x) {
  const [left, right] = x.range();
  const most = Math.max(Math.floor((right - left) / TICK), 1);
  const ticks = x.ticks(most);
  const step = Math.ceil(ticks.length / most);
  return ticks.filter((_, place) => place % step === 0);
}

const DAY_FORMAT = charts.utcFormat("%b %d");
const MINUTE_FORMAT = charts.utcFormat("%H:%M");
const CLOCK_FORMAT = charts.utcFormat("%H:%M:%S");

/** The text of a tick: a day where one begins, else the time. */
function tickTime(at) {
  const seconds = at.getTime() / 1000;
  if (seconds % 86400 === 0) return DAY_FORMAT(at);
  if (seconds % 60 === 0) return MINUTE_FORMAT(at);
  return seconds % 1 === 0 ? CLOCK_FORMAT(at) : EXACT_FORMAT(at).slice(11);
}

/** The sources of the incidents, the most severe first, as many as there are lanes. */
function lanesOf(model, positions) {
  const bySource = charts.group(positions, (position) => model.incidents[position].source);
  const ranked = [...bySource].map(([source, own]) => ({
    source,
    own,
    severity: charts.max(own, (position) => model.incidents[position].severity),
    first: charts.min(own, (position) => model.incidents[position].first),
  })).sort((one, other) => other.severity - one.severity || other.own.length - one.own.length
    || one.first - other.first);
  const lanes = ranked.slice(0, LANES).sort((one, other) => one.first - other.first);
  return { lanes, others: ranked.length - lanes.length };
}

/** The depth of each bar, so that few bars cover each other. */
function depths(model, own, x) {
  const ends = [];
  const sorted = [...own].sort((one, other) => model.incidents[one].first - model.incidents[other].first);
  const bars = sorted.map((position) => {
    const incident = model.incidents[position];
    const left = x(incident.first);
    const right = Math.max(x(incident.last), left + 4);
    let depth = ends.findIndex((end) => end <= left);
    if (depth < 0) depth = ends.length < DEEPEST ? ends.length : DEEPEST - 1;
    ends[depth] = Math.max(ends[depth] ?? 0, right + 1);
    return { position, incident, left, width: right - left, depth };
  });
  return { bars, depth: ends.length };
}

/** How many incidents began when, by severity. */
function overview(model, positions, x, top) {
  const bins = charts.bin().value((position) => x(model.incidents[position].first))
    .domain(x.range()).thresholds(80)(positions);
  const most = charts.max(bins, (bin) => bin.length) ?? 1;
  const y = charts.scaleLinear([0, most], [top + OVERVIEW, top + 8]);
  const marks = shape("g", { class: "overview" });
  for (const bin of bins) {
    let stacked = 0;
    for (let severity = SEVERITIES.length - 1; severity >= 0; severity -= 1) {
      const count = bin.filter((position) => model.incidents[position].severity === severity).length;
      if (count === 0) continue;
      marks.append(shape("rect", {
        x: bin.x0 + 0.5, width: Math.max(bin.x1 - bin.x0 - 1, 1),
        y: y(stacked + count), height: y(stacked) - y(stacked + count), class: `severity-${severity}`,
      }, shape("title", {}, `${plural(count, "incident")} began, ${SEVERITIES[severity]}`)));
      stacked += count;
    }
  }
  marks.append(shape("text", { x: LABEL - 8, y: top + 18, class: "label end" }, "incidents begun,"),
    shape("text", { x: LABEL - 8, y: top + 32, class: "label end" }, `up to ${number(most)} at once`));
  return marks;
}

function bar({ position, incident, left, width, depth }, top, x) {
  const y = top + depth * (BAR + 2);
  const mark = shape("a", { href: `#incident-${position}`, tabindex: -1 },
    shape("rect", { x: left, y, width, height: BAR, rx: 1.5, class: `incident severity-${incident.severity}` }));
  for (const [at, phase] of incident.phases) {
    const place = Math.min(Math.max(x(at), left), left + width);
    if (phase === "grew") mark.append(shape("rect", { x: place - 0.75, y: y - 1, width: 1.5, height: BAR + 2, class: "grew" }));
    if (phase === "ended") mark.append(shape("circle", { cx: left + width, cy: y + BAR / 2, r: 2.6, class: "ended" }));
  }
  mark.append(shape("title", {}, `${SEVERITIES[incident.severity]} ${incident.rule}\n${incident.message}\n`
    + incident.phases.map(([at, phase, count]) => `${time(at)} ${phase}: ${number(count)}`).join("\n")));
  return mark;
}

/** A sentence on the incidents that lie outside of the time axis. */
function besideAxis(model, positions) {
  if (positions.length === 0) return undefined;
  const named = positions.slice(0, NAMED).flatMap((position, place) => {
    const { first, last, rule, source } = model.incidents[position];
    return [place > 0 ? "; " : " ", element("a", { href: `#incident-${position}` }, `${time(first)} to ${time(last)}`),
      ` ${rule}: ${clip(model.sources[source].name, 40)}`];
  });
  const rest = positions.length - NAMED;
  return element("p", { class: "note", id: "beside-axis" },
    `${plural(positions.length, "incident lies", "incidents lie")} outside of the time axis:`, named,
    rest > 0 && `; and ${number(rest)} more, in the table of incidents`, ".");
}

/** The time line of some incidents. */
function timeline(model, selected, width) {
  if (selected.length === 0) return note("No incident is selected.");
  const onAxis = selected.filter((position) => isOnAxis(model, model.incidents[position]));
  const positions = onAxis.length > 0 ? onAxis : selected;
  const beside = onAxis.length > 0 ? selected.filter((position) => !isOnAxis(model, model.incidents[position])) : [];
  const of = positions.map((position) => model.incidents[position]);
  const x = timeScale(charts.min(of, (it) => it.first), charts.max(of, (it) => it.last), LABEL, width - MARGIN);
  const { lanes, others } = lanesOf(model, positions);
  const drawn = shape("g");
  let top = OVERVIEW + 10;
  for (const { source, own } of lanes) {
    const { bars, depth } = depths(model, own, x);
    const height = Math.max(depth * (BAR + 2) + 5, 17);
    const { name } = model.sources[source];
    drawn.append(
      shape("rect", { x: 0, y: top, width, height, class: "lane" }),
      shape("a", { href: `#source-${source}` },
        shape("text", { x: LABEL - 8, y: top + 12, class: "label end" }, clip(name, 25)),
        shape("title", {}, `${name} ${alias(model.sources[source])}`)),
      ...bars.map((it) => bar(it, top + 3, x)));
    top += height;
  }
  const svg = shape("svg", { class: "timeline", width, height: top + AXIS, role: "img", "aria-label": "Time line of incidents" });
  const axis = shape("g", { class: "axis", transform: `translate(0,${top})` });
  charts.select(axis).call(charts.axisBottom(x).tickValues(timeTicks(x)).tickFormat(tickTime).tickSizeInner(-top + OVERVIEW + 10).tickSizeOuter(0));
  svg.append(axis, overview(model, positions, x, 0), drawn,
    shape("text", { x: AXIS_NAME, y: top + 15, class: "label end" }, "UTC"));
  return element("div", {}, svg, besideAxis(model, beside), note(others > 0
    ? `${plural(others, "more source has", "more sources have")} no lane: the ${LANES} with the most severe incidents are shown. The filter chooses.` : undefined));
}
