// Asks status.json every two seconds. What comes from nodes is set as text only.
"use strict";

const EVERY = 2000;
const KEPT = 300;
const rates = [];

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat();
const say = (id, text) => { at(id).textContent = text; };

function span(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function within(stage, millis) {
  if (!stage.done) return "–";
  return millis === null ? "longer" : `${number.format(millis)} ms`;
}

function state(text, kind) {
  const badge = at("state");
  badge.textContent = text;
  badge.className = `badge ${kind}`;
}

function row(cells, kind) {
  const line = document.createElement("tr");
  if (kind) line.className = kind;
  for (const [text, style] of cells) {
    const cell = document.createElement("td");
    cell.textContent = text;
    if (style) cell.className = style;
    line.append(cell);
  }
  return line;
}

function draw(rate) {
  rates.push(rate);
  if (rates.length > KEPT) rates.shift();
  const top = Math.max(10, ...rates);
  const step = 600 / (KEPT - 1);
  const from = 600 - (rates.length - 1) * step;
  const points = rates.map((value, place) => `${(from + place * step).toFixed(1)},${(116 - (value / top) * 112).toFixed(1)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.join(" "));
  at("rate").replaceChildren(line);
  say("scale", `nodes a minute, up to ${number.format(top)}, last ${span(Math.round((rates.length * EVERY) / 1000))}`);
}

function show(status) {
  const { nodes } = status;
  const started = new Date(status.started * 1000).toLocaleString();
  say("who", `${status.identity}, choria ${status.version}, helper ${status.helper}, since ${started}, ` +
    `connected to ${status.connected || "nobody"}`);
  if (status.paused.length > 0) state(`paused: ${status.paused.join(", ")}`, "");
  else if (!status.connected) state("not connected", "bad");
  else state("at work", "good");
  for (const name of ["ready", "working", "later", "cooling", "quarantined"]) say(name, number.format(nodes[name]));
  say("oldest", span(status.age_seconds.max));
  say("minute", number.format(status.provisioned_last_minute));
  say("total", number.format(status.provisioned));
  draw(status.provisioned_last_minute);
  const ages = status.age_seconds;
  say("ages", `Of those that wait, half have waited up to ${span(ages.p50)}, 90 % up to ${span(ages.p90)}, 99 % up to ${span(ages.p99)}`);
  at("stages").tBodies[0].replaceChildren(...status.stages.map((stage) => row([
    [stage.stage], [number.format(stage.nodes), "number"],
    [within(stage, stage.half_millis), "number"], [within(stage, stage.most_millis), "number"],
  ])));

  const reasons = Object.entries(status.reasons).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  at("no-reasons").hidden = reasons.length > 0;
  at("reasons").tBodies[0].replaceChildren(
    ...reasons.map(([reason, count]) => row([[reason], [number.format(count), "number"]])));

  at("no-recent").hidden = status.recent.length > 0;
  at("recent").tBodies[0].replaceChildren(...status.recent.slice(0, 50).map((end) => row([
    [new Date(end.at * 1000).toLocaleTimeString()], [end.node, "name"], [end.end],
    [`${number.format(end.millis)} ms`, "number"], [end.kind ? `${end.kind}: ${end.reason}` : ""],
  ], end.end)));
}

async function refresh() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    state(`no answer: ${error.message}`, "bad");
  }
  setTimeout(refresh, EVERY);
}

refresh();
