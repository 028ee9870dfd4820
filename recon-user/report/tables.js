// Tables that sort, and show more rows when asked.
"use strict";

const ROWS_AT_ONCE = 100;

/**
 * A table. A column has `name`, `show(item)`, `sort(item)`, and `isNumber`. `idOf(item)` is the id
 * of a row.
 */
function makeTable(caption, columns, idOf, order) {
  let items = [];
  let shown = ROWS_AT_ONCE;
  let sorted = order ?? { column: 0, isDown: false };
  const body = element("tbody");
  const more = element("button", { type: "button", click: () => { shown += 5 * ROWS_AT_ONCE; draw(); } });
  const heads = columns.map((column, position) => element("th", { scope: "col", class: column.isNumber ? "number" : undefined },
    column.sort ? element("button", { type: "button", click: () => sortBy(position) }, column.name) : column.name));
  function sortBy(position) {
    const isSame = sorted.column === position;
    sorted = { column: position, isDown: isSame ? !sorted.isDown : Boolean(columns[position].isNumber) };
    draw();
  }
  function compare(one, other) {
    const { sort } = columns[sorted.column];
    const [first, second] = [sort(one), sort(other)];
    const by = typeof first === "number" && typeof second === "number" ? first - second
      : String(first).localeCompare(String(second), "en", { numeric: true });
    return sorted.isDown ? -by : by;
  }
  function draw() {
    items.sort(compare);
    heads.forEach((head, position) => {
      const isSorted = position === sorted.column;
      if (isSorted) head.setAttribute("aria-sort", sorted.isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...items.slice(0, shown).map((item) => element("tr", { id: idOf?.(item) },
      columns.map((column) => element("td", { class: column.isNumber ? "number" : column.kind }, column.show(item) ?? "")))));
    if (items.length === 0) body.append(element("tr", {}, element("td", { colspan: columns.length }, "The filter selects none.")));
    more.textContent = `show more of ${plural(items.length, "row")}`;
    more.hidden = items.length <= shown;
  }
  const root = element("div", { class: "table" },
    element("table", {}, element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, heads)), body), more);
  return {
    root,
    update(next) {
      items = [...next];
      shown = ROWS_AT_ONCE;
      draw();
    },
    /** Shows the row with that id, if the table has it. */
    reveal(id) {
      const position = items.findIndex((item) => idOf?.(item) === id);
      if (position < 0) return false;
      if (position >= shown) { shown = position + 1; draw(); }
      const row = document.getElementById(id);
      for (const old of document.querySelectorAll("tr.focused")) old.classList.remove("focused");
      row.classList.add("focused");
      row.scrollIntoView({ block: "center" });
      return true;
    },
  };
}

function severityBadge(severity) {
  return severity < 0 ? "" : element("span", { class: `badge severity-${severity}` }, SEVERITIES[severity]);
}

/** Numbers of targets by outcome, as a bar and in words. */
function outcomeBar(outcomes) {
  if (!outcomes) return "";
  const parts = [[3, outcomes.accepted], [2, outcomes.half_open], [1, outcomes.refused], [0, outcomes.silent]];
  const all = parts.reduce((sum, [, count]) => sum + count, 0);
  const words = parts.filter(([, count]) => count > 0).map(([outcome, count]) => `${number(count)} ${OUTCOMES[outcome]}`).join(", ");
  const bar = shape("svg", { class: "outcomes", width: 60, height: 8, "aria-hidden": "true" });
  let left = 0;
  for (const [outcome, count] of parts) {
    const width = all === 0 ? 0 : 60 * count / all;
    bar.append(shape("rect", { x: left, width, height: 8, class: `outcome-${outcome}` }));
    left += width;
  }
  return [bar, element("small", {}, ` ${words}`)];
}

const targetsOf = ({ outcomes }) => (outcomes ? outcomes.accepted + outcomes.half_open + outcomes.refused + outcomes.silent : -1);

function sourceTable(model) {
  const verdictOf = (source) => [source.verdict, source.is_proven ? "proven address" : undefined].filter(Boolean).join(", ");
  const of = (column) => ({
    ...column, show: (position) => column.show(model.sources[position], position),
    sort: column.sort && ((position) => column.sort(model.sources[position])),
  });
  const networkOf = (it) => [it.network, it.country].filter(Boolean).join(" ");
  const toolsOf = (it) => (it.tools ?? []).join(", ");
  return makeTable("Sources", [
    { name: "source", kind: "name", sort: (it) => it.name, show: (it) => [element("b", {}, it.name), alias(it) && element("small", {}, ` ${alias(it)}${it.domain_by ? ` (by ${it.domain_by})` : ""}`)] },
    { name: "verdict", kind: "wrapped", sort: verdictOf, show: verdictOf },
    { name: "severity", sort: (it) => it.severity, show: (it) => severityBadge(it.severity), isNumber: true },
    { name: "incidents", sort: (it) => it.incidents, show: (it) => number(it.incidents), isNumber: true },
    { name: "targets", sort: targetsOf, isNumber: true, show: (it) => (targetsOf(it) < 0 ? "" : `${number(targetsOf(it))}${it.is_counted ? "" : "+"}`) },
    { name: "outcomes", show: (it) => outcomeBar(it.outcomes), kind: "wide", isKnown: (it) => it.outcomes },
    { name: "tools", sort: toolsOf, show: toolsOf, kind: "wrapped", isKnown: toolsOf },
    { name: "network", sort: networkOf, show: networkOf, kind: "name", isKnown: networkOf },
    { name: "first", sort: (it) => it.first, show: (it) => time(it.first), kind: "time" },
    { name: "last", sort: (it) => it.last, show: (it) => time(it.last), kind: "time" },
  ].filter(({ isKnown }) => !isKnown || model.sources.some(isKnown)).map(of), (position) => `source-${position}`, { column: 2, isDown: true });
}

function incidentTable(model) {
  const of = (column) => ({
    ...column, show: (position) => column.show(model.incidents[position]),
    sort: column.sort && ((position) => column.sort(model.incidents[position])),
  });
  const sourceName = (it) => model.sources[it.source].name;
  return makeTable("Incidents", [
    { name: "first", sort: (it) => it.first, show: (it) => time(it.first), kind: "time" },
    { name: "severity", sort: (it) => it.severity, show: (it) => severityBadge(it.severity), isNumber: true },
    { name: "rule", sort: (it) => it.rule, show: (it) => breakable(it.rule), kind: "name" },
    { name: "source", sort: sourceName, kind: "name", show: (it) => sourceLink(model, it.source) },
    { name: "target", sort: (it) => it.target, kind: "name", show: (it) => `${it.target}${it.port === undefined ? "" : ` port ${it.port}`}` },
    { name: "count", sort: (it) => it.count, show: (it) => `${it.lower_bound ? "≥" : ""}${number(it.count)}`, isNumber: true },
    { name: "lasted", sort: (it) => it.last - it.first, show: (it) => duration(it.last - it.first), isNumber: true },
    { name: "phases", show: (it) => it.phases.map(([, phase]) => phase).join(", ") },
    { name: "what happened", show: (it) => it.message, kind: "message" },
  ].map(of), (position) => `incident-${position}`, { column: 1, isDown: true });
}

/** Open ports, who found them and who used them. */
function learnedTable(model) {
  const finders = ({ found_by: found, has_more_finders: hasMore }) =>
    [found.flatMap((source, position) => [position > 0 ? ", " : "", sourceLink(model, source)]), hasMore ? " and more" : ""];
  const users = ({ used_by: used, has_more_users: hasMore }) => [used.flatMap(([source, at, process], position) =>
    [position > 0 ? "; " : "", sourceLink(model, source), ` at ${time(at)}${process ? `, accepted by ${process}` : ""}`]), hasMore ? " and more" : ""];
  const table = makeTable("Open ports", [
    { name: "port", sort: (it) => it.port, show: (it) => `${it.port}`, isNumber: true },
    { name: "on", sort: (it) => it.host, show: (it) => it.host },
    { name: "found first", sort: (it) => it.first, show: (it) => time(it.first), kind: "time" },
    { name: "found by", sort: (it) => it.found_by.length, show: finders, kind: "wide" },
    { name: "used by", sort: (it) => it.used_by.length, show: users, kind: "wide" },
  ], undefined, { column: 4, isDown: true });
  table.update(model.learned);
  return table;
}

/** What is not known. */
function lossTable(model) {
  return element("div", { class: "table" }, element("table", {},
    element("thead", {}, element("tr", {}, ["what", "how many", "what it means"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, model.losses.map((loss) => element("tr", {},
      element("td", {}, loss.what), element("td", { class: "number" }, number(loss.count)),
      element("td", { class: "message" }, loss.means,
        loss.places && element("ul", {}, loss.places.map((place) => element("li", {}, place)))))))));
}
