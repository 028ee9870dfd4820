// Puts the page together, and draws again when the filter or the width changes.
"use strict";

function header(model) {
  const hosts = model.hosts.length > 0 ? ` of ${model.hosts.join(", ")}` : "";
  const inputs = model.inputs.map(({ name, kind, read }) => `${name} (${[kind, read].filter(Boolean).join(", ")})`);
  return element("header", {}, element("h1", { title: `recon report${hosts}` }, `recon report${hosts}`),
    element("p", { class: "inputs" }, `From ${inputs.join("; ")}, by recon ${model.version}. Times are UTC.`));
}

function drawReport(model, root) {
  const lanes = element("div");
  const filter = makeFilter(model, () => draw());
  const chart = chartSection(model);
  const sources = sourceTable(model);
  const incidents = incidentTable(model);
  const learned = learnedTable(model);
  const count = element("p", { class: "count", "aria-live": "polite" });
  const senders = model.processes.some((process) => process.is_sender);
  root.replaceChildren(
    header(model),
    figures(model),
    filter.controls,
    count,
    section("timeline", "Incidents over time", model.incidents.length === 0 ? note("There is no incident.") : [
      legend([3, 2, 1, 0].map((severity) => [`severity-${severity}`, SEVERITIES[severity]]).concat([["grew", "grew"], ["ended", "ended"]])),
      lanes,
    ]),
    chart.root,
    section("learned", "What was learned, and used",
      model.learned.length === 0 ? note("No source other than clients found a port open, as far as this input shows.") : learned.root),
    section("processes", "Processes of this host that scan",
      note(model.unknown.processes), senders ? processTree(model) : !model.unknown.processes && note("No incident is about a process that sends.")),
    section("sources", "Sources", note(model.unknown.sources), model.sources.length === 0 ? note("There is no source.") : sources.root),
    section("incidents", "Incidents", model.incidents.length === 0 ? note("There is no incident.") : incidents.root),
    section("losses", "What is not known", model.losses.length === 0
      ? note("Nothing is known to be missing: no line was unreadable, no count is a lower bound, and recon did not say that it was blind.") : lossTable(model)));
  // Without the padding of the page.
  const innerWidth = () => count.clientWidth;
  let width = 0;
  function draw() {
    width = innerWidth();
    const selected = filter.incidents();
    count.textContent = filter.isOff() ? "" : `${number(selected.length)} of ${plural(model.incidents.length, "incident")} selected`;
    const wanted = filter.sources(selected);
    if (model.incidents.length > 0) lanes.replaceChildren(timeline(model, selected, width));
    chart.update(wanted, width);
    sources.update(wanted);
    incidents.update(selected);
  }
  draw();
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (innerWidth() !== width) draw(); }, 150);
  });
  // A row that is not shown yet, or the same link again.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    const id = link?.getAttribute("href")?.slice(1);
    if (id && (sources.reveal(id) || incidents.reveal(id))) event.preventDefault();
  });
  const reveal = () => sources.reveal(location.hash.slice(1)) || incidents.reveal(location.hash.slice(1));
  window.addEventListener("hashchange", reveal);
  if (location.hash) reveal();
  root.dataset.drawn = "yes";
}

drawReport(JSON.parse(document.getElementById("data").textContent), document.getElementById("report"));
