// What moves on the page: the threshold, the search, the order of rows, and sounds that several cards share.
"use strict";

const number = (element, key) => Number(element.dataset[key]);
const percent = share => Number.isFinite(share) ? (100 * share).toFixed(1) + " %" : "–";

function say(machine, key, text) {
  machine.querySelectorAll(`[data-out="${key}"]`).forEach(place => { place.textContent = text; });
}

// Alarms, precision and recall at the threshold that the slider shows; all thresholds move by as much.
function judge(machine) {
  const slider = machine.querySelector("[data-slider]");
  const shift = Number(slider.value) - number(slider, "made");
  const counts = {};
  let alarms = 0;
  for (const row of machine.querySelectorAll("tbody tr[data-score]")) {
    const alarm = mark(row, row.querySelector('[data-cell="decision"]'), shift);
    row.querySelector('[data-cell="threshold"]').textContent = (number(row, "threshold") + shift).toFixed(3);
    row.dataset.decision = alarm ? "anomaly" : "normal";
    alarms += alarm;
    const kind = `${row.dataset.label}-${alarm ? "alarm" : "quiet"}`;
    counts[kind] = (counts[kind] || 0) + 1;
  }
  machine.querySelectorAll("summary [data-score]").forEach(badge => mark(badge, badge, shift));
  show(machine, Number(slider.value), alarms, counts);
  filter(machine);
}

function mark(scored, badge, shift) {
  const alarm = number(scored, "score") > number(scored, "threshold") + shift;
  badge.textContent = alarm ? "anomaly" : "normal";
  badge.className = `badge ${badge.textContent}`;
  return alarm;
}

function show(machine, threshold, alarms, counts) {
  const training = JSON.parse(machine.querySelector("script.training").textContent);
  const expected = training.filter(score => score > threshold).length / training.length;
  const [hits, missed, false_alarms, quiet] =
    ["anomaly-alarm", "anomaly-quiet", "normal-alarm", "normal-quiet"].map(kind => counts[kind] || 0);
  say(machine, "alarms", alarms);
  say(machine, "threshold", threshold.toFixed(3));
  say(machine, "expected", (100 * expected).toFixed(1));
  say(machine, "precision", percent(hits / (hits + false_alarms)));
  say(machine, "recall", percent(hits / (hits + missed)));
  Object.entries({ "anomaly-alarm": hits, "anomaly-quiet": missed, "normal-alarm": false_alarms, "normal-quiet": quiet })
    .forEach(([key, count]) => say(machine, key, count));
  say(machine, "status", `${alarms} alarms`);
  const chart = machine.querySelector("svg[data-low]");
  const at = 320 * (threshold - number(chart, "low")) / (number(chart, "high") - number(chart, "low"));
  ["x1", "x2"].forEach(end => chart.querySelector("[data-line]").setAttribute(end, at));
  const point = machine.querySelector("[data-point]");
  if (point) {
    point.setAttribute("cx", 24 + 116 * false_alarms / (false_alarms + quiet));
    point.setAttribute("cy", 120 - 116 * hits / (hits + missed));
  }
}

// Rows that hold the words and are of the kind that is asked for.
function filter(machine) {
  const words = machine.querySelector("[data-search]").value.toLowerCase().split(/\s+/);
  const kind = machine.querySelector("[data-filter]").value;
  let shown = 0;
  for (const row of machine.querySelectorAll("tbody tr[data-score]")) {
    const { decision, label } = row.dataset;
    const kinds = { missed: label === "anomaly" && decision === "normal", false: label === "normal" && decision === "anomaly" };
    const text = row.textContent.toLowerCase();
    row.hidden = !((!kind || decision === kind || kinds[kind]) && words.every(word => text.includes(word)));
    shown += !row.hidden;
  }
  say(machine, "shown", `${shown} shown`);
}

function sort(button) {
  const heading = button.closest("th"), table = button.closest("table"), column = number(button, "sort");
  const down = heading.getAttribute("aria-sort") === "ascending";
  table.querySelectorAll("th[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = row => row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((a, b) => key(a).localeCompare(key(b), "en", { numeric: false }));
  if (heading.classList.contains("number")) rows.sort((a, b) => Number(key(a)) - Number(key(b)));
  table.tBodies[0].append(...(down ? rows.reverse() : rows));
}

// Opens what a link leads to, and lends the sounds of normal clips to the cards that compare with them.
function open_target() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  if (target) target.scrollIntoView();
}

for (const audio of document.querySelectorAll("audio[data-like]")) {
  audio.src = document.getElementById(audio.dataset.like).querySelector("audio").src;
}
for (const machine of document.querySelectorAll("section.machine")) {
  const slider = machine.querySelector("[data-slider]");
  slider.addEventListener("input", () => judge(machine));
  machine.querySelector("[data-reset]").addEventListener("click", () => { slider.value = slider.dataset.made; judge(machine); });
  machine.querySelector("[data-search]").addEventListener("input", () => filter(machine));
  machine.querySelector("[data-filter]").addEventListener("change", () => filter(machine));
  machine.querySelectorAll("[data-sort]").forEach(button => button.addEventListener("click", () => sort(button)));
  judge(machine);
}
addEventListener("hashchange", open_target);
addEventListener("beforeprint", () => document.querySelectorAll("details.card").forEach(card => { card.open = true; }));
open_target();
