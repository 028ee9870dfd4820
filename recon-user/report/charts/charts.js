// What report/*.js uses of d3. esbuild drops the rest; `cargo xtask charts` makes charts.min.js.
export { bin, group, max, min } from "d3-array";
export { axisBottom, axisLeft } from "d3-axis";
export { scaleBand, scaleLinear, scaleLog, scaleUtc } from "d3-scale";
export { select } from "d3-selection";
export { utcFormat } from "d3-time-format";
