// Which incidents and sources are shown.
"use strict";

/** The filter's controls, and what they select. `changed` is called after each change. */
function makeFilter(model, changed) {
  const rules = [...new Set(model.incidents.map((incident) => incident.rule))].sort();
  const text = element("input", {
    type: "search", id: "filter-text", placeholder: "source, rule, target, process",
    autocomplete: "off", input: () => changed(),
  });
  const rule = element("select", { id: "filter-rule", change: () => changed() },
    element("option", { value: "" }, "all rules"),
    rules.map((id) => element("option", { value: id }, id)));
  const boxes = SEVERITIES.map((name, severity) => {
    const count = model.incidents.filter((incident) => incident.severity === severity).length;
    const box = element("input", { type: "checkbox", checked: true, change: () => changed() });
    return { box, count, label: element("label", {}, box, ` ${name} (${number(count)})`) };
  }).reverse();
  const controls = element("form", { class: "filter", submit: (event) => event.preventDefault() },
    element("label", { for: "filter-text" }, "Filter "), text, rule,
    element("fieldset", {}, element("legend", { class: "hidden" }, "Severity"),
      boxes.filter(({ count }) => count > 0).map(({ label }) => label)));
  const texts = model.incidents.map((incident) => [
    model.sources[incident.source].name, alias(model.sources[incident.source]), incident.rule,
    incident.name, incident.target, incident.message,
  ].join("\n").toLowerCase());
  return {
    controls,
    /** The positions of the incidents that are selected. */
    incidents() {
      const wanted = text.value.trim().toLowerCase();
      const severities = boxes.map(({ box }) => box.checked).reverse();
      return [...model.incidents.keys()].filter((position) => {
        const incident = model.incidents[position];
        return severities[incident.severity]
          && (rule.value === "" || rule.value === incident.rule)
          && texts[position].includes(wanted);
      });
    },
    /** Whether nothing is filtered out. */
    isOff() {
      return text.value.trim() === "" && rule.value === "" && boxes.every(({ box }) => box.checked);
    },
    /** The positions of the sources with such incidents; of all sources, if nothing is filtered. */
    sources(incidents) {
      if (this.isOff()) return [...model.sources.keys()];
      return [...new Set(incidents.map((position) => model.incidents[position].source))];
    },
  };
}
