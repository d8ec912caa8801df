// Annotation: a clip plays, and the value of mouse, touch, keys or gamepad is recorded against the video's own time.
// Gradio runs this once with `element`. The server is asked for JSON below ADDRESS with the key of this browser.
const ADDRESS = "/iaca/annotate", COLOURS = { valence: "#2f7fc4", arousal: "#e07a1f" };
const ENDS = { valence: ["unpleasant", "pleasant"], arousal: ["calm", "excited"] };
const SAVE_S = 3, BACK_S = 5, PRACTICE_S = 5, SPEED = 1, STEP = 0.02, WINDOW_S = 20, FIRST_MS = 1500, STILL = 0.08, LEFT = 84;
const part = (name) => element.querySelector("." + name);
const make = (tag, attributes, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
};
const signed = (value) => {  // no sign on what rounds to 0
  const digits = Math.abs(value).toFixed(2);
  return (+digits === 0 ? "" : value < 0 ? "−" : "+") + digits;
};
const share = (value) => `${Math.round(100 * value)} %`;

// ---- the server ------------------------------------------------------------------------------------------------
const KEY = localStorage.getItem("iaca-key") || Array.from(crypto.getRandomValues(new Uint8Array(16)),
  (byte) => byte.toString(16).padStart(2, "0")).join("");
localStorage.setItem("iaca-key", KEY);

async function ask(method, path, given, options = {}) {
  const query = method === "GET" && given ? "?" + new URLSearchParams(given) : "";
  const answer = await fetch(ADDRESS + path + query, {
    method, headers: { "x-iaca-key": KEY }, body: method === "GET" ? undefined : JSON.stringify(given || {}), ...options,
  });
  if (options.file && answer.ok) return answer;
  const found = await answer.json().catch(() => ({ problem: `the page answered ${answer.status}`, remedy: "reload it" }));
  if (!answer.ok) throw found;
  return found;
}

function say(error) {  // an error of the server, or of this script
  const place = error && error.file ? `${error.file}${error.row ? `, line ${error.row}` : ""}: ` : "";
  part("message").hidden = !error;
  if (error) part("message").replaceChildren(make("b", {}, place + (error.problem || error.message || error) + "."),
    error.remedy ? ` What helps: ${error.remedy}.` : "");
}

const attempt = (action) => async (...given) => {
  say(null);
  try { await action(...given); } catch (error) { say(error); }
};

// ---- what is traced --------------------------------------------------------------------------------------------
let page = { clips: [], raters: [] }, clip = "", times = [], traces = {}, practice = [];
let mode = "", value = 0, events = [], stretch = 0, reached = -1, recording = false, changed = false, savedAt = 0, offset = 0;
const copying = new Set();  // clips that the browser does not play: a copy is being made, or was made in vain
let held = 0, lastTick = 0, stick = false, lastButton = false;
const video = part("clip"), pad = part("pad");
const rater = () => part("rater").value.trim();
const dimension = () => element.querySelector("[name=dimension]:checked").value;
const trace = () => (mode === "practice" ? practice : traces[dimension()] || []);
const now = () => video.currentTime - offset;

function frameAt(time) {  // the frame on screen: the last one that has begun
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

function setValue(given, event) {  // a frame gets the last value that was set before it begins
  value = Math.round(1e4 * Math.min(1, Math.max(-1, given))) / 1e4;
  pad.setAttribute("aria-valuenow", value);
  pad.setAttribute("aria-valuetext", signed(value));
  if (!recording) return;
  const waited = event ? Math.max(0, performance.now() - event.timeStamp) / 1000 : 0;  // a busy page handles it late
  const time = Math.max(now() - waited, events[events.length - 1][0]);
  events.push([time, value]);
  while (reached >= stretch && times[reached] > time + 1e-4) reached -= 1;
}

function begin() {  // a stretch of playback: frames from the one on screen on are overwritten
  if (!mode || video.paused || video.seeking || recording) return;
  stretch = frameAt(now());
  reached = stretch - 1;
  events = [[-1, value]];
  recording = true;
}

function fill(until = now()) {
  if (!recording) return;
  const target = trace();
  while (reached + 1 < times.length && times[reached + 1] <= until + 1e-4) {
    reached += 1;
    while (events.length > 1 && events[1][0] <= times[reached] + 1e-4) events.shift();
    target[reached] = events[0][1];
    changed = changed || mode === "record";
  }
}

function end(until) {
  fill(until);
  recording = false;
}

function seek(time) {
  end();
  video.currentTime = Math.min(Math.max(0, time + offset), video.duration || 0);
}

async function save(options) {
  if (!changed || !clip || !rater()) return;
  changed = false;
  savedAt = performance.now();
  const given = { clip, rater: rater(), dimension: dimension(), values: traces[dimension()] };
  try {
    await ask("PUT", "/clip", given, options);
    showNow("saved");
  } catch (error) {
    changed = true;
    say(error);
  }
}

// ---- playing ---------------------------------------------------------------------------------------------------
const practisedKey = () => `iaca-practised ${rater()} ${dimension()}`;
const practised = () => localStorage.getItem(practisedKey()) === "yes";

async function start(wanted) {
  if (!clip) throw { problem: "no clip is chosen", remedy: "add videos, and choose one" };
  if (!rater()) { part("rater").focus(); throw { problem: "the rater has no name", remedy: "write your name above the video" }; }
  if (wanted === "record" && !practised())
    throw { problem: "a practice run comes first", remedy: "press Practice: it plays the clip, and nothing is saved" };
  if (!video.videoWidth) throw { problem: "the clip can't be played yet", remedy: "wait until its picture is there" };
  await measured;
  if (mode && mode !== wanted) await stop();
  if (wanted === "practice" && mode !== wanted) practice = times.map(() => null);
  mode = wanted;
  if (video.ended || frameAt(now()) === times.length - 1) seek(0);
  pad.focus({ preventScroll: true });
  await video.play();
}

async function stop() {
  video.pause();
  end();
  await save();
  nameButtons();
}

const usual = () => mode || (practised() ? "record" : "practice");
const toggle = attempt(async (wanted) => (video.paused || mode !== wanted ? start(wanted) : stop()));

function paused() {
  end();
  if (mode === "practice" && now() >= Math.min(PRACTICE_S, times[times.length - 1])) localStorage.setItem(practisedKey(), "yes");
  save().then(refresh);
  nameButtons();
}

function ended() {
  end(Infinity);
  if (mode === "practice") localStorage.setItem(practisedKey(), "yes");
  mode = "";
  save().then(refresh);
  nameButtons();
}

function nameButtons() {
  const playing = !video.paused && !video.ended;
  part("record").textContent = playing && mode === "record" ? "Pause" : "Record";
  part("practice").textContent = playing && mode === "practice" ? "Pause" : "Practice";
  part("record").classList.toggle("locked", !practised());
  element.querySelectorAll("input[name=dimension], .rater").forEach((input) => { input.disabled = playing; });
}

function tick(time) {
  const passed = Math.min(0.1, (time - lastTick) / 1000);
  lastTick = time;
  if (document.getElementById("annotate").classList.contains("iaca-shown")) {
    readGamepad();
    if (held) setValue(value + held * SPEED * passed);
    begin();
    fill();
    if (changed && performance.now() - savedAt > 1000 * SAVE_S) save();
    draw();
  }
  requestAnimationFrame(tick);
}

function follow() {  // every frame that is shown, where the browser tells of them
  fill();
  video.requestVideoFrameCallback(follow);
}

function readGamepad() {
  const found = [...(navigator.getGamepads ? navigator.getGamepads() : [])].find(Boolean);
  if (!found) return;
  const up = -(found.axes[1] || 0), pressed = Boolean(found.buttons[0] && found.buttons[0].pressed);
  stick = stick || Math.abs(up) > STILL;
  if (stick && !video.paused) setValue(Math.abs(up) > STILL ? up : 0);
  if (pressed && !lastButton && clip) toggle(usual());
  lastButton = pressed;
}

// ---- mouse, touch, keys ----------------------------------------------------------------------------------------
function point(event) {
  const box = pad.getBoundingClientRect(), playing = !video.paused;
  if (event.type === "pointerdown") pad.setPointerCapture(event.pointerId);
  if (playing || event.type === "pointerdown" || event.buttons === 1) setValue(1 - (2 * (event.clientY - box.top)) / box.height, event);
  if (!playing && event.type === "pointerdown") seek(timeAt(event.clientX - box.left));
}

function press(event) {
  if (event.target.closest("input, select, textarea, summary") || (event.target.closest("button") && event.key === " ")) return;
  if (!document.getElementById("annotate").classList.contains("iaca-shown") || !element.contains(event.target)) return;
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key], by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (way) {
    if (!event.repeat) setValue(value + way * STEP, event);
    held = way;
  } else if (by && video.paused) seek(times[Math.min(times.length - 1, Math.max(0, frameAt(now()) + by))] + 1e-3);
  else if (event.key === " ") toggle(usual());
  else if (event.key === "Backspace") seek(now() - BACK_S);
  else if (event.key === "0") setValue(0);
  else return;
  event.preventDefault();
}

const release = (event) => { if (event.key === "ArrowUp" || event.key === "ArrowDown") held = 0; };

// ---- drawing ---------------------------------------------------------------------------------------------------
const span = () => {
  const last = times.length ? times[times.length - 1] : 1;
  const length = Math.min(last, WINDOW_S) || 1, from = Math.min(Math.max(0, now() - length / 2), last - length);
  return [Math.max(0, from), length];
};
const timeAt = (x) => { const [from, length] = span(); return from + ((x - LEFT) / (pad.clientWidth - LEFT)) * length; };

function draw() {
  const canvas = pad.querySelector("canvas"), scale = window.devicePixelRatio || 1, width = pad.clientWidth, height = pad.clientHeight;
  if (!width) return;
  if (canvas.width !== width * scale || canvas.height !== height * scale) { canvas.width = width * scale; canvas.height = height * scale; }
  const pen = canvas.getContext("2d"), [from, length] = span(), style = getComputedStyle(pad), name = dimension();
  const x = (time) => LEFT + ((time - from) / length) * (width - LEFT), y = (v) => ((1 - v) / 2) * height;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px " + style.fontFamily;
  pen.fillStyle = style.color;
  pen.globalAlpha = 0.18;
  for (const v of [-0.5, 0, 0.5]) pen.fillRect(LEFT, y(v), width - LEFT, 1);
  pen.globalAlpha = 0.8;
  pen.textBaseline = "middle";
  pen.fillText(ENDS[name][1], 4, 10); pen.fillText("0", 4, y(0)); pen.fillText(ENDS[name][0], 4, height - 10);
  pen.globalAlpha = 1;
  pen.strokeStyle = mode === "practice" ? "#8292a2" : COLOURS[name];
  pen.lineWidth = 2;
  pen.beginPath();
  const values = trace(), first = frameAt(from);
  for (let i = first, broken = true; i < times.length && times[i] <= from + length; i++) {
    const there = values[i] !== null && values[i] !== undefined;
    if (there) pen[broken ? "moveTo" : "lineTo"](x(times[i]), y(values[i]));
    broken = !there;
  }
  pen.stroke();
  pen.fillStyle = style.color;
  if (times.length) pen.fillRect(x(now()) - 1, 0, 2, height);
  pen.fillStyle = pen.strokeStyle;
  pen.beginPath();
  pen.arc(times.length ? x(now()) : LEFT, y(value), 7, 0, 7);
  pen.fill();
  pad.setAttribute("aria-label", `${name}, from ${ENDS[name][0]} to ${ENDS[name][1]}`);
  showNow();
}

let note = "", noted = 0;
function showNow(words) {
  if (words) { note = words; noted = performance.now(); }
  const doing = video.paused ? "" : mode === "record" ? "recording" : mode === "practice" ? "practice, not saved" : "";
  const text = clip ? `${now().toFixed(2)} s, ${dimension()} ${signed(value)} ${doing || (performance.now() - noted < 2000 ? note : "")}` : "";
  if (part("now").textContent !== text) part("now").textContent = text;
}

// ---- clips -----------------------------------------------------------------------------------------------------
async function open(name) {
  if (mode && !video.paused) await stop();
  clip = name;
  mode = "";
  const found = await ask("GET", "/clip", rater() ? { clip, rater: rater() } : { clip });
  if (clip !== name) return;
  ({ times } = found);
  traces = { valence: found.valence, arousal: found.arousal };
  localStorage.setItem("iaca-clip", clip);
  const { media } = page.clips.find((each) => each.clip === name);
  if (!video.src.endsWith(media)) load(media, name);
  showCopying();
  showClips();
  nameButtons();
}

let measured = Promise.resolve();
function load(media, name) {  // and find out where the browser begins to count: at 0, or at the first picture
  video.dataset.clip = name;
  video.src = media;
  measured = new Promise((done) => {
    let known = false;  // the first picture says it best; a browser that tells of none has its clock alone
    const found = (time) => {
      if (!known && video.src.endsWith(media)) offset = Math.abs(time) < 0.002 ? 0 : time;
      known = true;
      done();
    };
    video.addEventListener("loadeddata", () => setTimeout(() => found(video.currentTime), FIRST_MS), { once: true });
    if (video.requestVideoFrameCallback)
      video.requestVideoFrameCallback((_, frame) => video.src.endsWith(media) && found(frame.mediaTime - times[0]));
  });
}

const copy = attempt(async () => {  // the browser does not know the codec
  const name = clip;
  if (!name) return;
  if (copying.has(name)) throw { problem: "this browser can't play the video", remedy: "convert it to MP4 (H.264)" };
  copying.add(name);
  showCopying();
  try {
    const { media } = await ask("POST", "/clip/copy", { clip: name });
    await refresh();  // says the address of the copy from now on
    if (clip === name) load(media, name);
  } catch (error) {
    copying.delete(name);
    throw error;
  } finally { showCopying(); }
});

const showCopying = () => { part("copying").hidden = !(clip && video.dataset.clip === clip && copying.has(clip) && !video.videoWidth); };

const add = attempt(async (files) => {
  const problems = [];
  for (const [i, file] of [...files].entries()) {
    part("progress").textContent = `receiving ${i + 1} of ${files.length}`;
    try { await ask("POST", "/clips?" + new URLSearchParams({ name: file.name }), null, { body: file }); }
    catch (error) { problems.push(error); }
  }
  part("progress").textContent = "";
  await refresh();
  if (!clip && page.clips.length) await open(page.clips[0].clip);
  if (problems.length) throw problems[0];
});

const nameOf = attempt(async (name, person) => { await ask("POST", "/clip/person", { clip: name, person }); await refresh(); });

const drop = attempt(async (name) => {
  if (!confirm(`Remove ${name} with all of its traces?`)) return;
  await ask("POST", "/clip/remove", { clip: name });
  if (clip === name) { clip = ""; times = []; traces = {}; video.removeAttribute("src"); delete video.dataset.clip; }
  await refresh();
});

function showClips() {
  part("empty").hidden = page.clips.length > 0;
  part("clips").replaceChildren(...page.clips.map((each) => {
    const chosen = make("button", { type: "button", className: "choose", onclick: () => attempt(open)(each.clip) }, each.clip);
    chosen.setAttribute("aria-pressed", each.clip === clip);
    const person = make("input", { value: each.person, maxLength: 40, onchange: (event) => nameOf(each.clip, event.target.value) });
    const facts = Object.entries(each.raters).map(([name, found]) =>
      make("li", {}, `${name}: ${found.problem || `valence ${share(found.valence)}, arousal ${share(found.arousal)}`}`));
    const remove = make("button", { type: "button", className: "remove", title: `Remove ${each.clip}`, onclick: () => drop(each.clip) }, "×");
    remove.setAttribute("aria-label", `Remove ${each.clip}`);
    return make("li", { className: each.clip === clip ? "chosen" : "" }, chosen, ...(page.kept ? [] : [remove]),
      make("label", {}, "Person ", person), make("ul", {}, ...facts));
  }));
}

// ---- gold standard and model -----------------------------------------------------------------------------------
const settings = () => ({ method: part("method").value, delay_s: part("delay").value === "" ? null : Number(part("delay").value) });

const gold = attempt(async () => {
  await save();
  await ask("POST", "/gold", settings());
  await refresh();
});

const adapt = attempt(async () => {
  await save();
  page.adaptation = await ask("POST", "/adapt", settings());
  showModel();
  await refresh();
  await watchAdaptation();
});

let watching = false;
async function watchAdaptation() {
  if (watching) return;
  watching = true;
  try {
    while (page.adaptation.state === "running") {
      await new Promise((done) => setTimeout(done, 500));
      page.adaptation = await ask("GET", "/adapt");
      showModel();
    }
  } finally { watching = false; }
  if (page.adaptation.state === "failed") say(page.adaptation);
  await refresh();
}

function showModel() {
  const { adaptation, scores, needed } = page, running = adaptation.state === "running";
  const ready = page.clips.filter((each) => each.labelled || Object.values(each.raters).some((r) => r.valence && r.arousal));
  const people = new Set(ready.map((each) => each.person)).size;
  const lacking = people < needed.people ? ` Adapting needs ${needed.people} people at least: ${needed.people - people} to go.` : "";
  const intervals = ready.length < needed.intervals ? ` Calibrated intervals need ${needed.intervals} clips: ${needed.intervals - ready.length} to go.` : "";
  part("needs").textContent = `Valence and arousal are traced in ${ready.length} clips of ${people} people.${lacking}${intervals}`;
  part("busy").hidden = part("cancel").hidden = !running;
  part("adapt").disabled = part("gold").disabled = running;
  if (running) {
    part("busy").querySelector("span").textContent = adaptation.step;
    part("busy").querySelector("progress").value = adaptation.done / adaptation.of;
  }
  const made = page.clips.filter((each) => each.gold);
  part("made").replaceChildren(...made.length ? [make("ul", {}, ...made.map(({ clip: name, gold: found }) => {
    const delays = Object.entries(found.delays_s).map(([who, delay]) => `${who} ${delay.toFixed(2)} s`).join(", ");
    const notes = found.notes.length ? ` ${found.notes.join("; ")}.` : "";
    return make("li", {}, `${name}: ${found.annotated_frames} of ${found.frames} frames; reaction delay ${delays}.${notes}`);
  }))] : []);
  part("scores").hidden = !scores || running;
  if (!scores) return;
  const number = (found) => (found === null || found === undefined ? "–" : signed(found).replace("+", ""));
  const cell = (row, name) => `${number(row[`ccc_zero_shot_${name}`])} → ${number(row[`ccc_adapted_${name}`])}`;
  part("scores").querySelector("tbody").replaceChildren(...scores.rows.map((row) =>
    make("tr", {}, make("td", {}, row.held_out), make("td", {}, cell(row, "valence")), make("td", {}, cell(row, "arousal")))));
  part("verdict").replaceChildren(...[...scores.verdict, `intervals: ${scores.intervals}`].map((words) => make("li", {}, words)));
}

// ---- import and export -----------------------------------------------------------------------------------------
const bring = attempt(async (chosen) => {
  if (!clip || !rater()) throw { problem: "no clip or no rater is chosen", remedy: "choose a clip, and write the rater's name" };
  const files = {}, named = {};
  for (const file of chosen)  // a character per byte: some files are binary
    files[file.name] = Array.from(new Uint8Array(await file.arrayBuffer()), (byte) => String.fromCharCode(byte)).join("");
  for (const input of element.querySelectorAll(".tier")) if (input.value.trim()) named[input.name] = input.value.trim();
  for (const input of element.querySelectorAll(".end")) if (input.value !== "") named[input.name] = Number(input.value);
  const found = await ask("POST", "/import", { clip, rater: rater(), files, ...named });
  await refresh();
  await open(clip);
  part("brought").textContent = Object.entries(found).filter(([name]) => name !== "frames")
    .map(([name, count]) => `${name}: ${count} of ${found.frames} frames`).join("; ");
});

const take = attempt(async () => {
  await save();
  const form = part("form").value, given = form === "folder" ? { form } : { form, clip, rater: part("whose").value || null };
  const answer = await ask("POST", "/export", given, { file: true });
  const name = decodeURIComponent((answer.headers.get("content-disposition") || "").split("''")[1] || "annotations");
  const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});

const forget = attempt(async () => {
  if (!confirm("Remove all clips, traces and the adapted model of this browser?")) return;
  await ask("POST", "/forget");
  clip = ""; times = []; traces = {};
  video.removeAttribute("src");
  await refresh();
});

// ---- everything together ---------------------------------------------------------------------------------------
async function refresh() {
  const running = page.adaptation;
  page = await ask("GET", "");
  if (watching) page.adaptation = running;
  if (page.problems.length) say({ problem: page.problems.join("; ") });
  part("where").textContent = page.kept
    ? `Clips, traces and the model are in ${page.kept} and stay there.`
    : `Clips and traces stay on this machine, and are removed when iaca is stopped: export them before, or start it with --annotations FOLDER. Up to ${page.largest_mb} MB and ${page.longest_s} s each.`;
  part("forget").hidden = Boolean(page.kept);
  const whose = part("whose").value;
  part("whose").replaceChildren(new Option("the gold standard", ""), ...page.raters.map((name) => new Option(name, name)));
  part("whose").value = page.raters.includes(whose) ? whose : "";
  showClips();
  showModel();
  document.dispatchEvent(new CustomEvent("iaca-model", { detail: page.model }));
}

function usePredict() {
  document.dispatchEvent(new CustomEvent("iaca-model", { detail: { ...page.model, chosen: true } }));
  document.dispatchEvent(new CustomEvent("iaca-open", { detail: "predict" }));
}

const changedRater = attempt(async () => {
  localStorage.setItem("iaca-rater", rater());
  if (clip) await open(clip);
  nameButtons();
});

for (const [name, action] of Object.entries({
  record: () => toggle("record"), practice: () => toggle("practice"), back: () => seek(now() - BACK_S), start: () => seek(0),
  gold, adapt, cancel: attempt(() => ask("POST", "/adapt/cancel")), use: usePredict, export: take, forget,
})) part(name).addEventListener("click", action);
part("add").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
part("import").addEventListener("change", (event) => { bring([...event.target.files]); event.target.value = ""; });
part("rater").addEventListener("change", changedRater);
for (const radio of element.querySelectorAll("[name=dimension]")) radio.addEventListener("change", () => { mode = ""; nameButtons(); });
for (const name of ["pointerdown", "pointermove"]) pad.addEventListener(name, point);
document.addEventListener("keydown", press);
document.addEventListener("keyup", release);
video.addEventListener("playing", begin);
video.addEventListener("seeked", begin);
video.addEventListener("play", nameButtons);
video.addEventListener("pause", () => video.ended || paused());
video.addEventListener("ended", ended);
video.addEventListener("error", () => video.getAttribute("src") && copy());
video.addEventListener("loadedmetadata", () => {
  showCopying();
  if (!video.videoWidth) copy();
});
video.addEventListener("ratechange", () => { if (video.playbackRate !== 1) video.playbackRate = 1; });  // normal speed
document.addEventListener("visibilitychange", () => document.hidden && !video.paused && stop());
document.addEventListener("iaca-tab", (event) => event.detail !== "annotate" && !video.paused && stop());
window.addEventListener("pagehide", () => { end(); save({ keepalive: true }); });
part("hint").textContent = "While the clip plays, the height of mouse or finger on the field is the value. Keys: up and down change it, 0 is neutral, space pauses, backspace goes back 5 s, left and right step by a frame. A gamepad's left stick works too. What is played again is recorded again.";
part("rater").value = localStorage.getItem("iaca-rater") || "";
if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
requestAnimationFrame(tick);
attempt(async () => {
  await refresh();
  const known = localStorage.getItem("iaca-clip");
  if (page.clips.some((each) => each.clip === known)) await open(known);
  else if (page.clips.length) await open(page.clips[0].clip);
  nameButtons();
  await watchAdaptation();
})();
