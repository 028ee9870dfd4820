// The first lines of the page: what an analyst asks first, in figures.
"use strict";

function figure(value, what, ...details) {
  return element("li", {}, element("strong", {}, value), element("span", {}, what),
    details.filter(Boolean).map((detail) => element("small", {}, detail)));
}

function figures(model) {
  const { incidents, hidden_incidents: hidden, sources, learned, chart, span } = model;
  const by = SEVERITIES.map((name, severity) =>
    [name, incidents.filter((incident) => incident.severity === severity).length]).reverse();
  const verdicts = new Map();
  for (const { verdict } of sources) if (verdict) verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  const ports = new Set(chart.port).size;
  const used = learned.filter((port) => port.used_by.length > 0);
  const senders = model.processes.filter((process) => process.is_sender).length;
  const outside = incidents.filter((incident) => !isOnAxis(model, incident)).length;
  return element("ul", { class: "figures" },
    span && figure(duration(span[1] - span[0]), "of time", `${time(span[0])} to`, `${time(span[1])} UTC`,
      outside > 0 && `and ${plural(outside, "incident")} at other times`),
    figure(number(incidents.length), incidents.length === 1 ? "incident" : "incidents",
      hidden > 0 && `the most severe of ${number(incidents.length + hidden)}, of equal ones the newest`,
      by.filter(([, count]) => count > 0).map(([name, count]) => `${number(count)} ${name}`).join(", ")),
    figure(number(sources.length), sources.length === 1 ? "source" : "sources",
      [...verdicts].slice(0, SEVERITIES.length).map(([verdict, count]) => `${number(count)} ${clip(verdict, 20)}`).join(", ")),
    figure(number(ports), chart.is_exact ? "ports tried" : "ports named",
      chart.is_exact || ports === 0 ? undefined : "a sample: at least"),
    figure(number(learned.length), "open ports found", learned.length > 0
      && ranges(learned.map(({ port }) => port), 6)),
    figure(number(used.length), "open ports used", used.length > 0
      && ranges(used.map(({ port }) => port), 6)),
    senders > 0 && figure(number(senders), senders === 1 ? "process that scans" : "processes that scan"));
}
