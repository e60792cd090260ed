"use strict";
// Asks status.json every two seconds and shows it. Whatever came over the network gets onto the page as text, never as markup.

const EVERY = 2000, PATIENCE = 5000; // milliseconds
const isNarrow = () => window.innerWidth < 680;
const FEW = { defects: () => (isNarrow() ? 3 : 6), live: () => 8, past: () => 25 }; // rows that are shown before one asks for more
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

const OUTCOMES = { untouched: "untouched", repaired: "repaired", defective: "broken", failed: "failed", rejected: "rejected", left: "client left" };
const STACK = [["untouched", ["untouched"]], ["repaired", ["repaired", "defective"]], ["failed", ["failed"]], ["other", ["rejected", "left"]]];
const ICONS = {
  quiet: "M19 3a16 16 0 1 0 0 32 16 16 0 0 0 0-32zm0 8v9l6 4",
  healthy: "M19 3a16 16 0 1 0 0 32 16 16 0 0 0 0-32zm-7 16.500l5 5 9.500-10.500",
  repaired: "M19 3a16 16 0 1 0 0 32 16 16 0 0 0 0-32zm7.500 9.500a5.500 5.500 0 0 1-7.300 6.700l-6 6-2.400-2.400 6-6a5.500 5.500 0 0 1 6.700-7.300l-3 3 3 3z",
  broken: "M19 3a16 16 0 1 0 0 32 16 16 0 0 0 0-32zm0 8.500v9.500m0 5.500v.100",
};
const COLOURS = { quiet: "#8a949f", healthy: "#1f9d74", repaired: "#e3a008", broken: "#d13c3c" };
const LEVELS = Object.keys(COLOURS);

// --- making nodes

function node(name, options = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// --- saying values

const whole = new Intl.NumberFormat("en");
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
const plural = (number, thing) => `${whole.format(number)} ${thing}${number === 1 ? "" : "s"}`;

function span(seconds) {
  if (seconds === null || seconds === undefined) return ["–", ""];
  if (seconds < 0.001) return [Math.round(seconds * 1e6), "µs"];
  if (seconds < 1) return [Number((seconds * 1000).toPrecision(seconds < 0.01 ? 2 : 3)), "ms"];
  if (seconds < 100) return [seconds.toFixed(1), "s"];
  if (seconds < 6000) return [Math.round(seconds / 60), "min"];
  if (seconds < 172800) return [Math.round(seconds / 3600), "h"];
  return [Math.round(seconds / 86400), "d"];
}
const said = (seconds) => span(seconds).join(" ").trim();

function short(number) {
  if (number < 10000) return whole.format(number);
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);
}

// --- the parts of the page

// The first rows of a list, or all of them, and a button for the others.
function rows(id, list, make) {
  const few = FEW[id](), isOpen = opened.has(id);
  const made = (isOpen ? list : list.slice(0, few)).map(make);
  const word = isOpen ? "Show fewer" : `Show all ${list.length}`;
  return [made, list.length > few ? node("button", { class: "more", "data-key": id, onclick: () => toggle(id) }, word) : null];
}

function verdicts(facts) {
  const list = facts.is_draining
    ? [{ level: "quiet", title: "respfix is stopping", text: `${plural(facts.live_streams, "stream")} may still end; new requests get a 503.` }]
    : facts.verdicts;
  const worst = list.reduce((one, other) => (LEVELS.indexOf(other.level) > LEVELS.indexOf(one.level) ? other : one));
  document.title = `${worst.title} · respfix`;
  const dot = `<svg xmlns="${SVG}" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${COLOURS[worst.level]}"/></svg>`;
  byId("icon").href = `data:image/svg+xml,${encodeURIComponent(dot)}`;
  return list.map((verdict) => node("article", { class: `verdict ${verdict.level}` },
    node("svg:svg", { viewBox: "0 0 38 38", fill: "none", stroke: "currentColor", "stroke-width": "2.6", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" },
      node("svg:path", { d: ICONS[verdict.level] })),
    node("div", {},
      list.length > 1 ? node("p", { class: "of name" }, verdict.upstream) : null,
      node("h2", {}, verdict.title),
      node("p", {}, verdict.text))));
}

function figures({ totals, times, live_streams: live }) {
  const share = (part) => (part ? `${Math.round((100 * part) / totals.streams)} %` : "");
  const wrong = (totals.repaired ?? 0) + (totals.defective ?? 0), failed = totals.failed ?? 0;
  const figure = (label, value, unit, bad) => node("div", { class: bad ? "bad" : undefined },
    node("dt", {}, label), node("dd", {}, String(value), unit ? node("small", {}, ` ${unit}`) : null));
  return [
    figure("running now", short(live)),
    figure("streams", short(totals.streams)),
    figure(totals.defective ? "broken, not repaired" : "repaired", short(wrong), share(wrong), totals.defective),
    figure("without an answer", short(failed), share(failed), failed > 0),
    figure("until the first byte", ...span(times.first_byte)),
    figure("added by respfix", ...span(times.added)),
  ];
}

function plot(minutes, layers, tell) {
  const sum = (minute, keys) => keys.reduce((total, key) => total + (minute[key] ?? 0), 0);
  const heights = minutes.map((minute) => sum(minute, layers.flatMap(([, keys]) => keys)));
  const top = Math.max(1, ...heights), width = 10;
  const columns = minutes.map((minute, place) => {
    let y = 100;
    const bars = layers.map(([name, keys]) => {
      const height = (100 * sum(minute, keys)) / top;
      y -= height;
      return height ? node("svg:rect", { class: name, x: place * width + 1, y, width: width - 2, height }) : null;
    });
    return node("svg:g", {},
      node("svg:title", {}, `${clock(minute.start).slice(0, 5)}: ${tell(minute)}`),
      bars, node("svg:rect", { class: "catch", x: place * width, y: 0, width, height: 100 }));
  });
  const total = heights.reduce((one, other) => one + other, 0);
  return node("div", { class: "plot" },
    node("span", { class: "top", title: "most in a minute" }, total ? short(top) : ""),
    node("svg:svg", { viewBox: `0 0 ${minutes.length * width} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `${whole.format(total)} in the last hour, at most ${whole.format(top)} in a minute` }, columns),
    node("div", { class: "scale" }, node("span", {}, "1 h ago"), node("span", {}, "30 min"), node("span", {}, "now")));
}

function inWords(minute) {
  const words = Object.entries(OUTCOMES).filter(([key]) => minute[key]).map(([key, word]) => `${minute[key]} ${word}`);
  return words.length ? `${words.join(", ")}; ${plural(minute.repairs ?? 0, "repair")}` : "no stream";
}

function legend() {
  return [["untouched", "untouched"], ["repaired", "repaired"], ["failed", "no answer"], ["other", "rejected or left"]]
    .map(([name, word]) => node("span", { class: name }, node("b", {}, word)));
}

const plain = (text) => text.replaceAll("`", "");

function defects(list, streams) {
  if (!list.length) return [node("p", { class: "none" }, streams ? "Nothing was wrong so far." : "No stream has come yet.")];
  const most = Math.max(...list.map((defect) => defect.streams));
  return rows("defects", list, (defect) => node("div", { class: "defect" },
    node("span", { class: "name" }, defect.slug),
    node("p", {}, node("b", {}, plain(defect.wrong)), `: ${plain(defect.remedy)}. `, defect.breaks.length ? node("span", { class: "breaks" }, `Breaks ${defect.breaks.join(", ")}`) : null),
    node("div", { class: "much", title: plural(defect.repairs, "time") }, plural(defect.streams, "stream"),
      node("svg:svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
        node("svg:rect", { width: (100 * defect.streams) / most, height: 4 })))));
}

function fixes(row, key) {
  const names = Object.entries(row.repairs ?? {}), total = names.reduce((sum, [, count]) => sum + count, 0);
  if (!total) return node("span", { class: "none" }, row.repairs ? "none" : "–");
  const isOpen = opened.has(key);
  return node("button", { class: "fixes", "data-key": key, "aria-expanded": String(isOpen), onclick: () => toggle(key) },
    `${whole.format(total)} `,
    isOpen
      ? node("ul", {}, names.map(([slug, count]) => node("li", { class: "name" }, `${slug} × ${whole.format(count)}`)))
      : node("span", { class: "name" }, names[0][0], names.length > 1 ? ` +${names.length - 1}` : ""));
}

const events = (row) => (row.events_in === undefined ? "–" : row.events_in === row.events_out ? whole.format(row.events_in) : `${whole.format(row.events_in)} → ${whole.format(row.events_out)}`);
const client = (row, many) => [row.path, row.dialect === "codex" ? " · Codex" : "", many ? ` · ${row.upstream}` : ""].join("");

function table(heads, rows) {
  return node("table", {}, node("thead", {}, node("tr", {}, heads.map(([word, kind]) => node("th", { scope: "col", class: kind }, word)))), node("tbody", {}, rows));
}

function live(facts) {
  if (!facts.live.length) return [node("p", { class: "none" }, "No stream is running.")];
  const many = facts.verdicts.length > 1;
  const [made, more] = rows("live", facts.live, (row) => node("tr", {},
    node("td", { class: "number", "data-unit": "running" }, said(row.seconds)),
    node("td", { class: "number", "data-unit": "events" }, events(row), row.held ? ` (${row.held} wait)` : ""),
    node("td", { class: "wide" }, fixes(row, `live ${row.at} ${row.path}`)),
    node("td", { class: "client wide" }, client(row, many))));
  return [table([["for", "number"], ["events", "number"], ["repairs"], ["request"]], made), more];
}

function past(facts) {
  if (!facts.past.length) return [node("p", { class: "none" }, `Point a client at ${facts.listen[0] ?? "respfix"} and ask it something.`)];
  const many = facts.verdicts.length > 1;
  const [made, more] = rows("past", facts.past, (row) => node("tr", {},
    node("td", { class: "when" }, clock(row.at + row.seconds)),
    node("td", { class: "what" }, node("span", { class: `badge is-${row.outcome}` }, OUTCOMES[row.outcome] ?? row.outcome), " ", node("span", { class: "how" }, row.how)),
    node("td", { class: "number", title: row.first_byte === undefined ? undefined : `first byte after ${said(row.first_byte)}` }, said(row.seconds)),
    node("td", { class: "number", "data-unit": "events" }, events(row)),
    node("td", { class: "wide" }, fixes(row, `past ${row.at} ${row.path}`)),
    node("td", { class: "client wide" }, client(row, many))));
  return [table([["ended"], ["outcome"], ["took", "number"], ["events", "number"], ["repairs"], ["request"]], made), more];
}

// --- putting them there

const opened = new Set();
const shown = new Map();
let latest = null;

function put(id, facts, make) {
  const now = JSON.stringify(facts) + [...opened].join();
  if (shown.get(id) === now) return; // a selection or a tooltip in it stays
  shown.set(id, now);
  const key = byId(id).contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  byId(id).replaceChildren(...make().flat(2).filter((each) => each !== null));
  if (key !== undefined) [...byId(id).querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
}

function toggle(key) {
  if (!opened.delete(key)) opened.add(key);
  show(latest);
}

function show(facts) {
  latest = facts;
  byId("version").textContent = facts.version;
  byId("route").textContent = `${facts.listen.join(", ")} → ${facts.verdicts.length > 1 ? `${facts.verdicts.length} upstreams` : facts.verdicts.map((each) => each.upstream).join("")}`;
  byId("running").textContent = facts.live_streams ? plural(facts.live_streams, "stream") + (facts.live.length < facts.live_streams ? `, ${facts.live.length} shown` : "") : "";
  byId("ended").textContent = facts.past.length ? `newest first, ${facts.past.length} of ${short(facts.totals.streams)}` : "";
  put("verdicts", [facts.verdicts, facts.is_draining, facts.live_streams], () => verdicts(facts));
  put("figures", [facts.totals, facts.times, facts.live_streams], () => figures(facts));
  put("legend", [], legend);
  put("streams", facts.minutes, () => [plot(facts.minutes, STACK, inWords)]);
  put("repairs", facts.minutes, () => [plot(facts.minutes, [["repairs", ["repairs"]]], inWords)]);
  put("defects", facts.defects, () => defects(facts.defects, facts.totals.streams));
  put("live", facts.live, () => live(facts));
  put("past", facts.past, () => past(facts));
  byId("main").hidden = false;
}

function fresh(facts) {
  byId("pulse").className = "fresh";
  byId("pulse").textContent = `up ${said(Math.max(1, facts.now - facts.since))}`;
  byId("main").classList.remove("stale");
}

function lost() {
  byId("pulse").className = "lost";
  byId("pulse").textContent = latest ? `no answer since ${clock(latest.now)}` : "no answer from respfix";
  byId("main").classList.add("stale");
}

async function ask() {
  try {
    const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.statusText);
    const facts = await answer.json();
    show(facts);
    fresh(facts);
  } catch (error) {
    if (error.name !== "TimeoutError" && error.name !== "TypeError" && error.message) console.error(error);
    lost();
  }
}

let timer = 0;
async function go() {
  clearTimeout(timer);
  if (document.hidden) return; // nobody looks
  await ask();
  clearTimeout(timer);
  timer = setTimeout(go, EVERY);
}
document.addEventListener("visibilitychange", go);
go();
