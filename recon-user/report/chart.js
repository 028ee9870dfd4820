// What was tried: source by port, and of one source target by time.
"use strict";

const MATRIX_ROWS = 40;
const ROW = 15;
const POINT = 3;
const TARGETS = 300;
const GREATEST_PORT = 65535;

/** Points of the chart by source. */
function pointsOf(chart) {
  const points = chart.sources.map(() => []);
  chart.source.forEach((source, point) => points[source].push(point));
  return points;
}

/** Gathers points that fall on one mark. */
function gatherMarks(chart, points, place) {
  const marks = new Map();
  for (const point of points) {
    const [x, y] = place(point);
    const key = x * 65536 + y;
    let mark = marks.get(key);
    if (!mark) marks.set(key, mark = { x, y, outcome: chart.outcome[point], points: [] });
    mark.points.push(point);
    const outcome = chart.outcome[point];
    if (OUTCOME_ORDER[outcome] > OUTCOME_ORDER[mark.outcome]) mark.outcome = outcome;
  }
  // What matters more is drawn later, and so on top.
  return [...marks.values()].sort((one, other) => OUTCOME_ORDER[one.outcome] - OUTCOME_ORDER[other.outcome]);
}

/** What a mark stands for, in words. */
function describeMark(chart, { points }) {
  const counts = OUTCOMES.map((name, outcome) =>
    [name, points.filter((point) => chart.outcome[point] === outcome).length]);
  const ports = ranges(points.map((point) => chart.port[point]), 8);
  return `port ${ports}: ${counts.filter(([, count]) => count > 0)
    .map(([name, count]) => `${number(count)} ${name}`).join(", ")}`;
}

function portScale(isLog, left, right) {
  return isLog ? charts.scaleLog([1, GREATEST_PORT], [left, right])
    : charts.scaleLinear([0, GREATEST_PORT], [left, right]);
}

/** Sources by port. `choose` is called with the source whose label is chosen. */
function matrix(model, wanted, width, isLog, choose) {
  const { chart } = model;
  const all = pointsOf(chart);
  const selected = chart.sources.map(([source], row) => ({ source, row }))
    .filter(({ source }) => wanted.has(source));
  const scans = ({ source }) => model.sources[source].severity >= 0 || model.sources[source].verdict === "scanner";
  const rows = selected.some(scans) ? selected.filter(scans) : selected;
  const shown = rows.slice(0, MATRIX_ROWS)
    .sort((one, other) => model.sources[one.source].first - model.sources[other.source].first);
  if (shown.length === 0) return note("No source of these incidents has tried ports.");
  const x = portScale(isLog, LABEL, width - MARGIN);
  const bottom = shown.length * ROW + 4;
  const svg = shape("svg", { class: "matrix", width, height: bottom + AXIS + 14, role: "img", "aria-label": "Sources by port" });
  const ticks = isLog ? [1, 10, 22, 80, 443, 1024, 3389, 8080, 65535] : undefined;
  const axis = shape("g", { class: "axis", transform: `translate(0,${bottom})` });
  charts.select(axis).call(charts.axisBottom(x).tickValues(ticks && width < 700 ? [1, 22, 443, 8080, 65535] : ticks)
    .tickFormat((port) => `${port}`).tickSizeInner(-bottom).tickSizeOuter(0));
  svg.append(axis);
  shown.forEach(({ source, row }, lane) => {
    const top = lane * ROW + 2;
    const { name } = model.sources[source];
    svg.append(shape("a", { href: "#targets", click: (event) => { event.preventDefault(); choose(row); } },
      shape("text", { x: LABEL - 8, y: top + 11, class: "label end" }, clip(name, 25)),
      shape("title", {}, `${name}: show target by time`)));
    const place = (point) => [Math.round(x(Math.max(chart.port[point], 1)) / POINT), 0];
    for (const mark of gatherMarks(chart, all[row], place)) {
      svg.append(shape("rect", {
        x: mark.x * POINT - POINT / 2, y: top + 1, width: POINT, height: ROW - 3, class: `mark outcome-${mark.outcome}`,
      }, shape("title", {}, `${name} ${describeMark(chart, mark)}`)));
    }
  });
  svg.append(shape("text", { x: LABEL - 8, y: bottom + 15, class: "label end" }, isLog ? "port (log)" : "port"));
  const quiet = selected.length - rows.length;
  const isSampled = chart.is_exact && shown.some(({ row }) => row >= chart.exact_sources);
  return element("div", {}, svg,
    note(rows.length > shown.length && `${MATRIX_ROWS} of ${number(rows.length)} sources are shown: those with the most severe incidents, then with the most targets.`),
    note(quiet > 0 && `${plural(quiet, "source")} without an incident and without the verdict scanner ${quiet === 1 ? "has" : "have"} no row.`),
    note(isSampled && "Of some sources only alerts tell the ports: up to 16, and up to 16 open ones."));
}

/** Ports, or addresses if there are more of them, of one source by time. */
function targets(model, row, width) {
  const { chart } = model;
  const [source, total, kept] = chart.sources[row];
  const all = pointsOf(chart)[row];
  const isInside = (point) => isOnAxis(model, { first: chart.at[point] + chart.from, last: chart.at[point] + chart.from });
  const inside = all.filter(isInside);
  const points = inside.length > 0 ? inside : all;
  const ports = points.map((point) => chart.port[point]);
  const hosts = [...new Set(points.map((point) => chart.host[point]))];
  const isSweep = hosts.length > new Set(ports).size;
  hosts.sort((one, other) => chart.hosts[one].localeCompare(chart.hosts[other], "en", { numeric: true }));
  const order = new Map(hosts.map((host, position) => [host, position]));
  const times = points.map((point) => chart.at[point] + chart.from);
  const x = timeScale(charts.min(times), charts.max(times), LABEL, width - MARGIN);
  const domain = isSweep ? [0, hosts.length - 1] : [charts.min(ports), charts.max(ports)];
  const y = charts.scaleLinear(domain[0] === domain[1] ? [domain[0] - 1, domain[1] + 1] : domain, [TARGETS, 8]);
  const svg = shape("svg", { class: "targets", width, height: TARGETS + 8 + AXIS, role: "img", "aria-label": "Targets by time" });
  const bottom = shape("g", { class: "axis", transform: `translate(0,${TARGETS + 6})` });
  charts.select(bottom).call(charts.axisBottom(x).tickValues(timeTicks(x)).tickFormat(tickTime).tickSizeOuter(0));
  const left = shape("g", { class: "axis", transform: `translate(${LABEL - 4},0)` });
  const name = (value) => (isSweep ? chart.hosts[hosts[value]] ?? "" : `${value}`);
  charts.select(left).call(charts.axisLeft(y).ticks(6).tickFormat(name).tickSizeOuter(0));
  svg.append(bottom, left);
  const place = (point) => [
    Math.round(x(chart.at[point] + chart.from) / POINT),
    Math.round(y(isSweep ? order.get(chart.host[point]) : chart.port[point]) / POINT),
  ];
  for (const mark of gatherMarks(chart, points, place)) {
    const size = OUTCOME_ORDER[mark.outcome] >= 3 ? POINT + 2 : POINT;
    const first = mark.points[0];
    svg.append(shape("rect", {
      x: mark.x * POINT - size / 2, y: mark.y * POINT - size / 2, width: size, height: size, class: `mark outcome-${mark.outcome}`,
    }, shape("title", {}, `${exactTime(chart.at[first] + chart.from)} ${chart.hosts[chart.host[first]]} ${describeMark(chart, mark)}`)));
  }
  svg.append(shape("text", { x: 4, y: 16, class: "label" }, isSweep ? "address" : "port"),
    shape("text", { x: AXIS_NAME, y: TARGETS + 22, class: "label end" }, "UTC"));
  const beside = all.length - points.length;
  return element("div", {}, svg,
    note(beside > 0 && `${plural(beside, "target was", "targets were")} tried outside of the time axis, and not drawn.`),
    note(kept < total
    ? `${number(kept)} of the ${number(total)} targets of ${model.sources[source].name} are drawn: all open ones, and of the others each n-th in the order of time.` : undefined));
}

/** Both charts with their controls. `redraw` returns what is selected. */
function chartSection(model) {
  const { chart, unknown } = model;
  let isLog = true;
  let chosen = 0;
  let last = { wanted: new Set(), width: 0 };
  const sources = element("div");
  const ofOne = element("div", { id: "targets" });
  const select = element("select", { id: "chosen-source", change: () => { chosen = Number(select.value); draw(); } },
    chart.sources.slice(0, chart.exact_sources).map(([source, total], row) => element("option", { value: row },
      `${model.sources[source].name} (${plural(total, "target")})`)));
  const scale = element("button", { type: "button", click: () => { isLog = !isLog; draw(); } });
  function choose(row) {
    if (row >= chart.exact_sources) return;
    chosen = row;
    draw();
    document.getElementById("targets").scrollIntoView({ block: "nearest" });
  }
  function draw() {
    scale.textContent = isLog ? "linear ports" : "logarithmic ports";
    sources.replaceChildren(matrix(model, last.wanted, last.width, isLog, choose) ?? "");
    if (chart.exact_sources > 0) {
      select.value = `${chosen}`;
      ofOne.replaceChildren(targets(model, chosen, last.width));
    }
  }
  const kinds = [3, 5, 2, 1, 0, 4];
  const present = kinds.filter((outcome) => chart.outcome.includes(outcome));
  const none = chart.sources.length === 0;
  const root = section("chart", "Who tried which port",
    note(unknown.chart),
    none ? note("No source has tried a port that is known.") : [
      element("div", { class: "controls" }, legend(present.map((it) => [`outcome-${it}`, OUTCOMES[it]])), scale),
      sources,
    ],
    element("h3", {}, "Target by time"),
    chart.exact_sources > 0
      ? [element("div", { class: "controls" }, element("label", { for: "chosen-source" }, "Source "), select), ofOne]
      : note(unknown.attempts ?? "No source has tried a port that is known."));
  return {
    root,
    update(wanted, width) {
      last = { wanted: new Set(wanted), width };
      if (!none) draw();
    },
  };
}
