// Elements, texts and numbers. Texts are set as text, and never read as HTML.
"use strict";

const SEVERITIES = ["informational", "low", "medium", "high"];
const OUTCOMES = ["not answered", "refused", "half-open", "accepted", "tried", "open"];
/** Which outcome covers another in a mark that stands for several. */
const OUTCOME_ORDER = [1, 2, 3, 5, 0, 4];
const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML. `attributes` may have functions for events, such as `click`. */
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of SVG. */
function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== ""));
  return made;
}

/** A section with a heading. */
function section(id, heading, ...children) {
  return element("section", { id, "aria-labelledby": `${id}-heading` },
    element("h2", { id: `${id}-heading` }, heading), ...children);
}

/** A sentence on what is not known. */
function note(text) {
  if (!text) return undefined;
  // An option does not break into lines.
  const parts = text.split(/(--[a-z]+)/).map((part, place) => (place % 2 > 0 ? element("span", { class: "whole" }, part) : part));
  return element("p", { class: "note" }, parts);
}

const NUMBER = new Intl.NumberFormat("en-US");
const number = (value) => NUMBER.format(value);
const plural = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

const SECOND_FORMAT = charts.utcFormat("%Y-%m-%d %H:%M:%S");
const EXACT_FORMAT = charts.utcFormat("%Y-%m-%d %H:%M:%S.%L");
const time = (at) => SECOND_FORMAT(new Date(at));
const exactTime = (at) => EXACT_FORMAT(new Date(at));

/** A duration in its two greatest units. */
function duration(milliseconds) {
  if (milliseconds < 1000) return `${milliseconds}\u00a0ms`;
  let rest = Math.round(milliseconds / 1000);
  const parts = [];
  for (const [unit, seconds] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(rest / seconds);
    rest -= count * seconds;
    if (count > 0) parts.push(`${count}\u00a0${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

/** Whether an incident lies within the main body of times, over which the time axis goes. */
function isOnAxis({ span }, { first, last }) {
  return !span || (first >= span[0] && last <= span[1]);
}

/** The beginning of a text that fits. */
function clip(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Ports as ranges, such as `20-25, 80`. */
function ranges(ports, most = 16) {
  const sorted = [...new Set(ports)].sort((one, other) => one - other);
  const parts = [];
  for (const port of sorted) {
    const last = parts.at(-1);
    if (last && last[1] + 1 === port) last[1] = port;
    else parts.push([port, port]);
  }
  const shown = parts.slice(0, most).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return shown.join(", ") + (parts.length > most ? ", …" : "");
}

/** A name that breaks into lines behind its slashes, and not within words. */
function breakable(name) {
  return name.split("/").flatMap((part, place) => (place > 0 ? ["/", element("wbr"), part] : [part]));
}

/** A mark's colour with what it stands for. */
function legend(entries) {
  return element("ul", { class: "legend" },
    entries.map(([kind, text]) => element("li", {},
      shape("svg", { width: 12, height: 12, "aria-hidden": "true" },
        kind === "ended" ? shape("circle", { cx: 6, cy: 6, r: 4, class: kind })
          : shape("rect", { x: kind === "grew" ? 5 : 0, width: kind === "grew" ? 2 : 12, height: 12, rx: 1, class: kind })),
      ` ${text}`)));
}

/** A link to the row of a source. */
function sourceLink(model, position) {
  const source = model.sources[position];
  return element("a", { href: `#source-${position}` }, source.name);
}

/** What a source is called beside its address. */
function alias(source) {
  return [source.label, source.domain].filter(Boolean).join(", ");
}
