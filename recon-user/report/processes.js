// Processes that send: unit or container, parent, process, where to.
"use strict";

function processEntry(process) {
  const details = [
    process.executable && ["runs", process.executable],
    process.command_line && ["command", process.command_line],
    process.user && ["user", process.user],
    process.remotes.length > 0 && ["sent to", process.remotes.join(", ")],
    process.ports.length > 0 && ["ports", ranges(process.ports)],
  ].filter(Boolean);
  return element("li", { class: "process" },
    element("b", {}, process.name ?? "a process"), ` pid ${process.pid}`, process.host ? ` on ${process.host}` : "",
    element("dl", {}, details.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}

function processTree(model) {
  const senders = model.processes.filter((process) => process.is_sender);
  const named = new Map(model.processes.map((process) => [`${process.host} ${process.pid}`, process.name]));
  const placeOf = ({ unit, container }) =>
    [unit && `unit ${unit}`, container && `container ${container}`].filter(Boolean).join(", ") || "in no known unit or container";
  const parentOf = ({ host, parent }) => {
    if (parent === undefined) return "parent unknown";
    const name = named.get(`${host} ${parent}`);
    return `parent ${name ? `${name} ` : ""}pid ${parent}`;
  };
  const places = [...charts.group(senders, placeOf)].sort(([one], [other]) => one.localeCompare(other));
  return element("ul", { class: "tree" }, places.map(([place, own]) => element("li", {},
    // As docker shows a container.
    element("span", { class: "place", title: place }, place.replace(/(container \w{12})\w+$/, "$1…")),
    element("ul", {}, [...charts.group(own, parentOf)].map(([parent, children]) => element("li", {},
      parent, element("ul", {}, children.map(processEntry))))))));
}
