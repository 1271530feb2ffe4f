// Shows what the events say, and asks what a person asks for. What has been seen before, such as a
// minute ago, is in this page's memory alone.

const MINUTE_MS = 60_000, KEPT_MS = 30 * MINUTE_MS, STALE_MS = 10_000, ADMIN_EVERY_MS = 10_000;
const STEP = 1.2; // of the latency histograms
const BASE = "base";
const FEW = 20; // requests, fewer of which say nothing of a mean

const $ = (id) => document.getElementById(id);
let about = null, last = null, heardAt = 0, token = sessionStorage.getItem("token") ?? "";
let history = []; // of {at, counts}, and of the promise's estimates

// --- words and elements --------------------------------------------------------------------------

const percent = (share, digits = 1) => share == null || !isFinite(share) ? "–" : `${(100 * share).toFixed(digits)} %`;
const whole = (n) => Math.round(n).toLocaleString("en");
const ms = (n) => n == null ? "–" : `${n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2)} ms`;
const times = (n) => n == null ? "–" : `${n.toFixed(n < 10 ? 1 : 0)}×`;
const bytes = (n) => n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
const clock = (seconds) => new Date(1000 * seconds).toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const many = (n, one) => `${whole(n)} ${one}${n === 1 ? "" : "s"}`;
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text; // a screen reader hears of changes alone
}

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child != null));
  return element;
}

function draw(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function facts(id, entries) {
  const told = Object.entries(entries).filter(([, value]) => value != null);
  $(id).replaceChildren(...told.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function bar(share) {
  const filled = make("i");
  filled.style.width = `${100 * Math.min(1, share)}%`;
  return make("span", { className: "track" }, filled);
}

function table(heads, rows) {
  const cell = (name) => (value, i) => make(name, { className: heads[i][1] ?? "" }, value ?? "–");
  const head = make("thead", {}, make("tr", {}, ...heads.map(([text], i) => cell("th")(text, i))));
  return make("table", {}, head, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))));
}

// --- figures -------------------------------------------------------------------------------------

// What a report counts, which can be subtracted from later ones.
function counted(report) {
  const exits = Object.entries(report.exits).map(([name, l]) => [name, { count: l.count, ms: l.count * (l.mean ?? 0) }]);
  const failed = Object.entries(report.errors).map(([status, n]) => status >= 500 ? n : 0);
  return { exits: Object.fromEntries(exits), errors: sum(Object.values(report.errors)), failed: sum(failed) };
}

function since(now, then) {
  const exits = Object.entries(now.exits).map(([name, e]) => {
    const before = then?.exits[name] ?? { count: 0, ms: 0 };
    return [name, { count: e.count - before.count, ms: e.ms - before.ms }];
  });
  return { exits: Object.fromEntries(exits), errors: now.errors - (then?.errors ?? 0), failed: now.failed - (then?.failed ?? 0) };
}

const requests = (counts) => sum(Object.values(counts.exits).map((e) => e.count));

// Share of the base DNN's compute that each stage takes for a request: measured here, or by the build.
function shares() {
  const costs = about.stages.map(({ name }) => {
    const of = last.stages?.[name];
    return of?.rows ? of.compute_ms / of.rows : NaN;
  });
  const whole = sum(costs.filter((_, i) => about.stages[i].kind === "partition"));
  return costs.every(isFinite) && whole > 0 ? costs.map((cost) => cost / whole) : about.stages.map((s) => s.share);
}

// The stages that requests met, with the shares of requests that came there and left there.
function walked(counts) {
  const total = requests(counts), taken = shares();
  let here = 1;
  return about.stages.map((stage, i) => {
    const left = stage.kind === "lookup" ? (counts.exits[stage.exit]?.count ?? 0) / total : 0;
    const step = { ...stage, comes: here, leaves: left, spends: here * taken[i] };
    here = Math.max(0, here - left);
    return step;
  });
}

// How much faster than the base DNN: than those that it answered, but for the lookups on their way.
function speed(counts) {
  const base = last.exits[BASE], all = requests(counts);
  if (!all || !base || base.count < FEW) return null;
  const lookups = sum(shares().filter((_, i) => about.stages[i].kind === "lookup"));
  return base.mean / (1 + lookups) / (sum(Object.values(counts.exits).map((e) => e.ms)) / all);
}

function disagreement() {
  const { sampled, disagreement: estimate, disagreement_lower: least, disagreement_upper: bound } = last.guard.recent ?? {};
  return sampled ? { sampled, estimate, least, bound } : null;
}

// --- sections ------------------------------------------------------------------------------------

function showState() {
  const guard = last.guard, on = ["on", "serve"].includes(guard.caches);
  const [, why] = guard.caches.split(/^off: /);
  const said = {
    shadow: ["warn", "Caches are only judged", "Mode shadow: the base DNN answers everything."],
    off: ["warn", "Caches are off", "An operator has set mode off: the base DNN answers everything."],
  };
  let [state, title, reason] = said[last.mode] ?? (on
    ? ["good", "Caches are on", "Requests leave at the first cache that is sure."]
    : ["bad", "Caches are off", `The base DNN answers everything: ${why ?? "no cache may answer yet"}.`]);
  if (guard.trainer) [state, reason] = ["bad", `Nobody watches them: ${guard.trainer}`];
  if (on && last.unproven) [state, reason] = ["warn", "This version has not passed the test on recent samples: an operator went back to it."];
  $("state").dataset.state = state;
  say("state-title", title);
  say("state-why", reason);
  facts("state-facts", {
    "Mode": last.mode, "Cache version": `${last.cache_version}${last.pinned ? ", pinned" : ""}`,
    "Threshold": guard.threshold?.toFixed(3), "Alarms": guard.alarms == null ? null : String(guard.alarms),
  });
}

function showGains(now, start) {
  const [recent, all] = [requests(now), requests(start)];
  const saved = (counts) => requests(counts) ? 1 - sum(walked(counts).map((s) => s.spends)) : null;
  const hits = (counts) => requests(counts) ? 1 - (counts.exits[BASE]?.count ?? 0) / requests(counts) : null;
  const seconds = Math.max(1, (Date.now() - history[0].at) / 1000), spent = Math.min(60, seconds);
  const show = (id, text, then) => { say(id, text); say(`${id}-since`, then); };
  show("speed", times(speed(now)), speed(start) == null
    ? `expected ${times(about.expected.base_latency_ms / about.expected.latency_ms)}` : `${times(speed(start))} since start`);
  show("compute", percent(saved(now), 0), `${percent(saved(start), 0)} since start`);
  show("hits", percent(hits(now)), `${percent(hits(start))} since start`);
  $("requests").replaceChildren((recent / spent).toFixed(recent / spent < 10 ? 1 : 0), make("small", {}, " /s"));
  say("requests-since", `${whole(all)} since start`);
  show("errors", whole(now.errors), Object.entries(last.errors).map(([s, n]) => `${whole(n)} × ${s}`).join(", ") || "none since start");
  $("errors").classList.toggle("troubled", now.failed > 0);
  say("gains-note", recent ? `Large: the last ${spent < 59 ? many(Math.round(spent), "second") : "minute"}.` : "Large: the last minute, in which there was no request.");
}

function showPipeline(start) {
  const steps = walked(start), row = (name, detail, drawing, figure, more) => make("li", {},
    make("div", {}, make("b", {}, name), make("small", {}, detail)), make("div", {}, drawing),
    make("div", {}, make("b", {}, figure), make("small", {}, more)));
  const flow = (comes, leaves, computed, kind = "leaves") => {
    const wide = 60 * comes, on = 60 * (comes - leaves), thick = Math.max(1, 36 * leaves), y = 22 - thick / 2;
    const trunk = computed ? `M0,0H${wide}V40H0Z` : `M0,0H${on}V40H0Z`;
    const ribbon = `M${on},0H${wide}C${wide},${y} ${wide + 6},${y} ${wide + 12},${y}H100V${y + thick}H${on + 12}C${on},${y + thick} ${on},${y + thick} ${on},0Z`;
    return draw("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("path", { class: computed ? "computed" : "trunk", d: trunk }), ...(leaves > 0 ? [draw("path", { class: kind, d: ribbon })] : []));
  };
  const waiting = (name) => { const n = last.stages?.[name]?.queued; return n ? `, ${whole(n)} waiting` : ""; };
  const rows = steps.map((s) => s.kind === "lookup"
    ? row(s.name, `cache at ${s.exit}${waiting(s.name)}`, flow(s.comes, s.leaves, false), `${percent(s.leaves)} leave`, `p50 ${ms(last.exits[s.exit]?.p50)}`)
    : row(s.name, s.exit ? `up to ${s.exit}${waiting(s.name)}` : `to the end${waiting(s.name)}`, flow(s.comes, 0, true), `${percent(s.comes)} run it`, `${percent(s.spends, 0)} of the compute`));
  const base = start.exits[BASE]?.count ?? 0, all = requests(start);
  rows.push(row("Base DNN", "its own answer", flow(base / all, base / all, false, "computed"), `${percent(base / all)} leave`, `p50 ${ms(last.exits[BASE]?.p50)}`));
  $("pipeline").replaceChildren(...(all ? rows : []));
  say("pipeline-sum", all ? `A request takes ${percent(sum(steps.map((s) => s.spends)), 0)} of the base DNN's compute on average.` : "No request yet.");
}

function showPromise() {
  const limit = about.limits.max_disagreement, now = disagreement(), guard = last.guard;
  const seen = history.filter((h) => h.promise), alarmed = seen.filter((h, i) => i && h.alarms > seen[i - 1].alarms);
  const may = `${percent(limit)} of all answers may differ from the base DNN's`;
  say("promise-verdict", !now ? `${may}. No request has been checked yet.`
    : now.bound <= limit ? `Kept: ${may}, and at most ${percent(now.bound, 2)} do, at ${percent(about.limits.confidence, 0)} confidence.`
    : now.estimate <= limit ? `In keeping: ${may}; ${percent(now.estimate, 2)} of those checked do. More checks will tell more surely.`
    : `In danger: ${may}, but ${percent(now.estimate, 2)} of those checked do.`);
  $("promise-verdict").classList.toggle("troubled", Boolean(now && now.estimate > limit));
  const top = Math.max(2 * limit, ...seen.map((h) => 1.05 * h.promise.bound)), from = history[0].at, to = Math.max(Date.now(), from + MINUTE_MS);
  const x = (at) => (300 * (at - from) / (to - from)).toFixed(1), y = (share) => (100 * (1 - share / top)).toFixed(1);
  const line = (what) => seen.length ? "M" + seen.map((h) => `${x(h.at)},${y(h.promise[what])}`).join("L") : "M0,0";
  $("promise-chart").replaceChildren(
    draw("line", { class: "floor", x1: 0, x2: 300, y1: 100, y2: 100 }), draw("line", { class: "limit", x1: 0, x2: 300, y1: y(limit), y2: y(limit) }),
    ...alarmed.map((h) => draw("line", { class: "alarm", x1: x(h.at), x2: x(h.at), y1: 0, y2: 100 })),
    draw("path", { class: "bound", d: line("bound") }), draw("path", { class: "estimate", d: line("estimate") }));
  const minutes = (to - from) / MINUTE_MS;
  say("promise-limit", `${percent(limit)} allowed`);
  $("promise-limit").style.top = `${y(limit)}%`;
  $("promise-axis").replaceChildren(make("span", {}, `${Math.round(minutes)} min ago`), make("span", {}, "now"));
  say("promise-caption", `Differing answers among the last ${whole(now?.sampled ?? 0)} checked requests since this page was opened: thick the estimate, thin its upper bound, dashed the ${percent(limit)} that are allowed.`);
  facts("promise-facts", {
    "Estimate": now && percent(now.estimate, 2), "Bounds": now && `${percent(now.least, 2)} to ${percent(now.bound, 2)}`, "Checked": guard.sampled == null ? null : whole(guard.sampled),
    "Evidence against (1 is an alarm)": guard.alarm_strength?.toFixed(2), "Alarms": guard.alarms == null ? null : String(guard.alarms),
    "Checking": last.sampling && percent(last.sampling.rate), "Checks dropped": last.samples?.dropped == null ? null : whole(last.samples.dropped),
  });
}

function showLatency() {
  const order = [...about.stages.filter((s) => s.kind === "lookup").map((s) => s.exit), BASE].filter((name) => last.exits[name]?.count);
  if (!order.length) return void $("latency").replaceChildren(make("p", { className: "note" }, "No request yet."));
  const steps = order.flatMap((name) => Object.keys(last.exits[name].histogram).map(Number));
  const low = Math.min(...steps) - 1, high = Math.max(...steps) + 2, place = (v) => 100 * (Math.log(v) / Math.log(STEP) - low) / (high - low);
  const cells = ["", "", "p50", "p99", "count"].map((text, i) => make("span", { className: `head number ${i === 4 ? "count" : ""}` }, text));
  for (const name of order) {
    const l = last.exits[name], most = Math.max(...Object.values(l.histogram));
    const bars = Object.entries(l.histogram).map(([n, count]) => draw("rect", { class: name === BASE ? "bar-base" : "bar-cache",
      x: 100 * (n - low) / (high - low) + 0.1, width: Math.max(0.4, 100 / (high - low) - 0.2), y: 30 * (1 - count / most), height: 30 * count / most }));
    cells.push(make("span", {}, name), draw("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars),
      ...[ms(l.p50), ms(l.p99), whole(l.count)].map((text, i) => make("span", { className: `number ${i === 2 ? "count" : ""}` }, text)));
  }
  const ticks = [0.1, 1, 10, 100, 1000, 10_000].filter((v) => place(v) >= 0 && place(v) <= 100).map((v) => {
    const tick = make("span", {}, v < 1000 ? `${v} ms` : `${v / 1000} s`);
    tick.style.left = `${place(v)}%`;
    return tick;
  });
  cells.push(make("span"), make("div", { className: "ticks", ariaHidden: "true" }, ...ticks));
  $("latency").style.gridTemplateRows = `auto repeat(${order.length}, minmax(3rem, 1fr)) auto`;
  $("latency").replaceChildren(...cells);
}

function showTraffic() {
  const mix = (last.class_mix ?? []).map((share, i) => [about.classes[i], share]).sort((a, b) => b[1] - a[1]);
  const most = mix.slice(0, 10), rest = sum(mix.slice(10).map(([, share]) => share));
  if (rest > 0) most.push([`${many(mix.length - 10, "other")}`, rest]);
  const top = Math.max(...most.map(([, share]) => share), 1e-9);
  $("mix").replaceChildren(...most.map(([name, share]) => make("li", {}, make("span", { title: name }, name), bar(share / top), make("span", {}, percent(share)))));
  const stages = Object.values(last.stages ?? {}), of = (key) => stages.some((s) => s[key] != null) ? sum(stages.map((s) => s[key] ?? 0)) : null;
  const failures = sum(Object.values(last.lookup_failures));
  facts("traffic-facts", {
    "Recent hit rate": last.recent_hit_rate == null ? null : percent(last.recent_hit_rate), "Streams remembered": of("streams") == null ? null : whole(of("streams")),
    "Their memory": of("stream_bytes") == null ? null : bytes(of("stream_bytes")), "Being answered": last.ongoing == null ? null : whole(last.ongoing),
    "Waiting in replicas": of("queued") == null ? null : whole(of("queued")), "Lookups failed or late": failures ? whole(failures) : null,
  });
}

function showRetraining() {
  const r = last.retraining;
  if (!r) return say("rounds-note", "The trainer does not answer.");
  const advice = r.advice ? ` Cut points ${r.advice.cut_points.join(", ")} would take ${ms(r.advice.proposed_ms)} instead of ${ms(r.advice.present_ms)}: a plan lies in ${r.advice.store}.` : "";
  say("rounds-note", `${many(r.rounds, "round")} so far; ${many(r.new_samples, "new sample")} since the last, ${whole(r.stored_samples)} stored.${advice}${token ? "" : " Each round is listed for who has the admin token."}`);
}

function show() {
  const start = counted(last), now = since(start, history.find((h) => h.at >= Date.now() - MINUTE_MS)?.counts);
  showState();
  showGains(now, start);
  showPipeline(start);
  showPromise();
  showLatency();
  showTraffic();
  showRetraining();
  say("counted", `Counts are of ${last.routers === 1 ? "the one router" : `all ${last.routers} routers together`}, each since it started; one that restarts begins anew. `
    + "Requests that ask for the base DNN (cache=off) are not counted. Curves and the last minute are what this page has seen since it was opened.");
}

// --- events --------------------------------------------------------------------------------------

function hear(report) {
  const at = Date.now(), counts = counted(report), before = history.at(-1);
  if (before && requests(counts) < requests(before.counts)) history = []; // a router has begun anew
  last = report;
  heardAt = at;
  history = [...history.filter((h) => h.at > at - KEPT_MS), { at, counts, promise: disagreement(), alarms: report.guard.alarms ?? 0 }];
  show();
  connection();
}

function connection(trouble = "") {
  const silent = Date.now() - heardAt;
  const [state, text] = trouble ? ["bad", trouble] : silent < STALE_MS ? ["good", "Live"]
    : heardAt ? ["bad", `No figures since ${new Date(heardAt).toLocaleTimeString()}`] : ["waiting", "Connecting"];
  $("connection").dataset.state = state;
  say("connection", text);
}

function listen() {
  const source = new EventSource("events");
  source.addEventListener("about", (event) => { about = JSON.parse(event.data); introduce(); });
  source.addEventListener("stats", (event) => hear(JSON.parse(event.data)));
  source.addEventListener("trouble", (event) => connection(`No figures: ${JSON.parse(event.data).error}`));
  source.addEventListener("error", () => { // a refusal closes it for good
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, STALE_MS);
  });
}

function introduce() {
  document.title = `${about.model} – GATI`;
  say("model", about.model);
  $("admin-off").hidden = about.admin;
  $("token-form").hidden = !about.admin || Boolean(token);
  const { takes } = about, shown = { picture: "a picture", sound: "a sound: WAV, FLAC or OGG" };
  $("drop").hidden = !(takes in shown);
  $("text-form").hidden = takes !== "text";
  $("no-files").hidden = takes !== "tensors";
  if (takes in shown) say("drop-text", `Drop ${shown[takes]} here, or choose a file`);
  $("file").accept = { picture: "image/*,.ppm,.pgm,.pbm", sound: "audio/*" }[takes] ?? "";
}

// --- operators -----------------------------------------------------------------------------------

async function admin(method, path, body) {
  const headers = { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(`admin/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const told = await answer.json();
  if (answer.status === 401) lock();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function lock() {
  token = "";
  sessionStorage.removeItem("token");
  $("operate").hidden = $("rounds").hidden = true;
  $("token-form").hidden = !about?.admin;
}

async function showAdmin() {
  if (!token) return;
  const [versions, rounds] = await Promise.all([admin("GET", "versions"), admin("GET", "rounds")]);
  $("operate").hidden = $("rounds").hidden = false;
  $("token-form").hidden = true;
  if (changed("versions", versions)) $("versions").replaceChildren(table(
    [["Version"], ["Tested on", "number"], ["Differed", "number"], ["Threshold", "number"], ["Expected hits", "number"], ["Expected latency", "number"], [""]],
    versions.toReversed().map((v) => [String(v.cache_version), whole(v.tested_on), percent(v.disagreements / v.tested_on, 2), v.threshold?.toFixed(3) ?? "none",
      percent(v.expected.hit_rate), ms(v.expected.latency_ms), v.serving ? `in service${v.unproven ? ", unproven" : ""}` : rollBack(v.cache_version)])));
  if (changed("rounds", rounds)) $("rounds").replaceChildren(rounds.length ? table(
    [["When"], ["Why"], ["Decided"], ["Latency", "number"], ["Hits", "number"], ["Took", "number"]],
    rounds.toSorted((a, b) => b.at - a.at).map((r) => [clock(r.at), r.why, r.published == null ? `kept version ${r.version ?? "as it was"}: ${r.why_not}` : `version ${r.published} serves`,
      gain(r, (s) => ms(s.latency_ms)), gain(r, (s) => percent(s.hit_rate)), r.seconds == null ? null : `${whole(r.seconds)} s`])) : make("p", { className: "note" }, "No round yet."));
  for (const radio of $("mode").elements) if (document.activeElement !== radio) radio.checked = radio.value === last?.mode;
  $("pin").ariaPressed = String(Boolean(last?.pinned));
  say("pin", last?.pinned ? "Unpin" : "Pin this version");
}

const gain = (round, of) => round.before && round.after ? `${of(round.before)} → ${of(round.after)}` : null;
const shown = {};
const changed = (what, value) => shown[what] !== (shown[what] = JSON.stringify(value));

function rollBack(version) {
  const button = make("button", { type: "button" }, "Roll back");
  button.ariaLabel = `Roll back to version ${version}`;
  button.onclick = () => act(`Serve version ${version} from now on?`, "POST", "rollback", { version },
    (told) => `Version ${version} serves${told.proven ? "" : ", unproven: it did not pass the test on recent samples"}.`);
  return button;
}

async function act(question, method, path, body, told) {
  if (question && !confirm(question)) return showAdmin();
  say("said", "…");
  try {
    say("said", told(await admin(method, path, body)));
    await showAdmin();
  } catch (error) {
    say("said", `Not done: ${error.message}`);
  }
}

$("token-form").onsubmit = async (event) => {
  event.preventDefault();
  token = $("token").value;
  $("token").value = "";
  try {
    await showAdmin();
    sessionStorage.setItem("token", token);
    say("said", "Unlocked.");
  } catch (error) {
    lock();
    say("said", `Not unlocked: ${error.message}`);
  }
};
$("lock").onclick = () => { lock(); say("said", "The token is forgotten."); };
$("retrain").onclick = () => act("", "POST", "retrain", null, () => "A round begins as soon as the trainer is free.");
$("forget").onclick = () => act("Delete all stored samples of the traffic? Rounds learn from them.", "DELETE", "samples", null, () => "All stored samples are deleted.");
$("pin").onclick = () => act("", "POST", "pin", { pinned: !last.pinned }, (told) => told.pinned ? "Nothing is published until it is unpinned." : "Rounds publish again.");
$("mode").onchange = (event) => act(`Set mode ${event.target.value}? It stays so after a restart.`, "POST", "mode", { mode: event.target.value }, (told) => `Mode ${told.mode}.`);

// --- trying it -----------------------------------------------------------------------------------

async function ask(body, type, query = "") {
  const answer = await fetch(`predict${query}`, { method: "POST", body, headers: { "X-Trace": "1", "Content-Type": type } });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

async function classify(body, type) {
  $("answer").replaceChildren(make("p", { className: "note" }, "Asking …"));
  try {
    const first = await ask(body, type), base = await ask(body, type, "?cache=off");
    const most = Math.max(first.latency_ms, base.latency_ms);
    $("answer").replaceChildren(
      answered("With caches", first, most, first.exit === BASE ? "no cache was sure: the base DNN answered" : `left at ${first.exit}, version ${first.cache_version}`),
      answered("Base DNN", base, most, base.label === first.label ? "the same label" : "another label"));
  } catch (error) {
    $("answer").replaceChildren(make("p", { className: "troubled" }, error.message));
  }
}

function answered(title, told, most, note) {
  const span = (from, length, name) => {
    const part = make("i", { className: name });
    Object.assign(part.style, { left: `${100 * from / most}%`, width: `${100 * length / most}%` });
    return part;
  };
  const steps = told.trace.filter((step) => step.step !== "request").map((step) => {
    const computes = step.compute_ms ?? step.ms;
    const track = make("span", { className: "track" }, span(step.at_ms, step.ms, "waits"), span(step.at_ms + (step.ms - computes) / 2, computes, ""));
    track.title = step.compute_ms == null ? "" : `${ms(step.compute_ms)} computing, ${ms(step.queued_ms)} waiting, ${ms(step.hop_ms)} on the way`;
    return make("li", {}, make("span", {}, step.step), track, make("span", {}, ms(step.ms)));
  });
  return make("div", { className: `answer ${told.exit === BASE ? "of-base" : ""}` }, make("h3", {}, title),
    make("p", {}, make("strong", {}, told.label), ` ${percent(told.probability)}, in ${ms(told.latency_ms)}`),
    make("p", { className: "note" }, note), make("ol", { className: "steps" }, ...steps));
}

function take(file) {
  if (!file) return;
  const preview = $("preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = about.takes !== "picture";
  if (!preview.hidden) preview.src = URL.createObjectURL(file);
  preview.onerror = () => { preview.hidden = true; }; // a format that this browser does not show
  say("drop-text", file.name);
  classify(file, file.type || "application/octet-stream");
}

$("file").onchange = (event) => { take(event.target.files[0]); event.target.value = ""; };
$("text-form").onsubmit = (event) => { event.preventDefault(); classify($("text").value, "text/plain; charset=utf-8"); };
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) $("drop").addEventListener(kind, (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind.startsWith("drag") && kind !== "dragleave");
  if (kind === "drop") take(event.dataTransfer.files[0]);
});

listen();
setInterval(connection, 1000);
setInterval(() => showAdmin().catch((error) => say("said", error.message)), ADMIN_EVERY_MS);
if (token) showAdmin().catch((error) => say("said", error.message));
