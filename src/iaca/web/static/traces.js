// The result of a video: its overlay, and traces whose cursor follows the playing video and moves it.
// Gradio runs this once with `element`, `props` and `watch`; listeners sit on `element`, whose content may be replaced.
const COLOURS = { valence: "#2f7fc4", arousal: "#e07a1f", audio: "#3aa396", visual: "#a3447c", inconsistency: "#8292a2" };
const NAMES = { valence: "valence", arousal: "arousal", audio: "voice", visual: "face", inconsistency: "disagreement" };
const ABSENT = { "no face": "visual", "no sound": "audio" };
const LEFT = 62, RIGHT = 12, AXIS = 24, HEAD = 26, ROW = 18;
let result = null, panels = [];

const part = (name) => element.querySelector("." + name);
const make = (tag, attributes, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
};
const signed = (value) => {  // as in the tables: no sign on what rounds to 0
  if (value === null) return "–";
  const digits = Math.abs(value).toFixed(2);
  return (+digits === 0 ? "" : value < 0 ? "−" : "+") + digits;
};
const percent = (value) => (value === null ? "–" : Math.round(100 * value) + " %");

function choosePanels() {
  const traces = result.traces;
  const values = { height: 190, low: -1, high: 1 };  // intervals overlap nearly everywhere: a panel for each
  const chosen = traces.valence_low || traces.arousal_low
    ? [{ ...values, height: 130, title: "Valence, with its 90 % interval", lines: ["valence"] },
       { ...values, height: 130, title: "Arousal, with its 90 % interval", lines: ["arousal"] }]
    : [{ ...values, title: "Valence and arousal", lines: ["valence", "arousal"] }];
  if (traces.audio) chosen.push({ title: "What the model relied on", height: 84, low: 0, high: 1, bands: ["audio", "visual"] });
  if (traces.inconsistency) chosen.push({ title: "Voice and face disagree", height: 54, low: 0, high: 1, lines: ["inconsistency"] });
  const missing = Object.keys(ABSENT).filter((label) => result.absent.some((part) => part.label === label));
  if (missing.length) chosen.push({ title: "Not observed", height: ROW * missing.length, rows: missing });
  let top = 0;
  for (const panel of chosen) {
    panel.top = top + HEAD;
    top = panel.top + panel.height + 10;
  }
  return chosen;
}

// ---- time <-> pixels -------------------------------------------------------------------------------------------
const first = () => result.time_s[0];
const last = () => Math.max(result.time_s[result.time_s.length - 1], first() + 1e-3);
const inner = () => part("traces").clientWidth - LEFT - RIGHT;
const xOf = (time) => LEFT + ((time - first()) / (last() - first())) * inner();
const timeAt = (x) => Math.min(last(), Math.max(first(), first() + ((x - LEFT) / inner()) * (last() - first())));

function frameAt(time) {  // the frame on screen: the last one that has begun
  let low = 0, high = result.time_s.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (result.time_s[middle] <= time + 1e-3) low = middle; else high = middle - 1;
  }
  return low;
}

// ---- drawing ---------------------------------------------------------------------------------------------------
function draw() {
  if (!result || !part("traces").clientWidth) return;
  const canvas = part("traces").querySelector("canvas"), scale = window.devicePixelRatio || 1;
  const width = part("traces").clientWidth, end = panels[panels.length - 1], height = end.top + end.height + AXIS;
  canvas.width = width * scale; canvas.height = height * scale;
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d"), style = getComputedStyle(part("traces"));
  pen.scale(scale, scale);
  pen.font = "12px " + style.fontFamily;
  const ink = style.color;
  for (const panel of panels) drawPanel(pen, panel, ink);
  drawAxis(pen, end.top + end.height, ink);
  moveCursor(part("overlay").currentTime);
}

function drawPanel(pen, panel, ink) {
  const y = (value) => panel.top + ((panel.high - value) / (panel.high - panel.low)) * panel.height;
  if (panel.rows) return drawRows(pen, panel, ink);
  drawAbsent(pen, panel);
  pen.fillStyle = ink; pen.textBaseline = "middle"; pen.textAlign = "right";
  const middle = (panel.low + panel.high) / 2;
  for (const tick of panel.height > 60 ? [panel.low, middle, panel.high] : [panel.low, panel.high]) {
    pen.globalAlpha = 0.75;
    pen.fillText(panel.low < 0 ? String(tick).replace("-", "−") : Math.round(100 * tick) + " %", LEFT - 7, y(tick));
    pen.globalAlpha = 0.18;
    pen.fillRect(LEFT, y(tick), inner(), 1);
  }
  pen.globalAlpha = 1;
  if (panel.bands) drawBands(pen, panel, y);
  for (const name of panel.lines || []) if (result.traces[name + "_low"]) drawInterval(pen, name, y);
  for (const name of panel.lines || []) drawLine(pen, name, y);
  drawHead(pen, panel, ink);
}

function drawHead(pen, panel, ink) {
  pen.textBaseline = "alphabetic"; pen.textAlign = "left"; pen.fillStyle = ink;
  pen.font = "600 " + pen.font;
  pen.fillText(panel.title, LEFT, panel.top - 9);
  pen.font = pen.font.replace(/^(600|bold) /, "");
  const words = panel.bands || (panel.lines && panel.lines.length > 1 ? panel.lines : []), titled = pen.measureText(panel.title + "   ").width;
  if (titled + words.reduce((sum, name) => sum + pen.measureText(NAMES[name]).width + 34, 0) > inner()) return;
  let x = LEFT + inner();
  for (const name of [...words].reverse()) {
    pen.fillStyle = ink; pen.textAlign = "right";
    pen.fillText(NAMES[name], x, panel.top - 9);
    x -= pen.measureText(NAMES[name]).width + 6;
    pen.fillStyle = COLOURS[name];
    pen.fillRect(x - 14, panel.top - 15, 14, 4);
    x -= 28;
  }
}

function drawStretch(pen, { label, start_s, end_s }, top, height, alpha) {
  const left = xOf(start_s), right = Math.min(xOf(end_s), LEFT + inner());
  pen.globalAlpha = alpha; pen.fillStyle = COLOURS[ABSENT[label]];
  pen.fillRect(left, top, Math.max(1, right - left), height);
  pen.globalAlpha = 1;
}

function drawAbsent(pen, panel) {  // named in their own rows: words here would lie over the traces
  for (const part of result.absent) drawStretch(pen, part, panel.top, panel.height, 0.13);
}

function drawRows(pen, panel, ink) {
  drawHead(pen, panel, ink);
  panel.rows.forEach((label, i) => {
    const top = panel.top + i * ROW;
    pen.fillStyle = ink; pen.globalAlpha = 0.75; pen.textBaseline = "middle"; pen.textAlign = "right";
    pen.fillText(label, LEFT - 7, top + ROW / 2);
    pen.globalAlpha = 1;
    for (const part of result.absent) if (part.label === label) drawStretch(pen, part, top + 2, ROW - 4, 0.6);
  });
}

function drawLine(pen, name, y) {
  pen.strokeStyle = COLOURS[name]; pen.lineWidth = 2; pen.lineJoin = "round";
  pen.beginPath();
  let broken = true;
  result.traces[name].forEach((value, i) => {
    if (value !== null) pen[broken ? "moveTo" : "lineTo"](xOf(result.time_s[i]), y(value));
    broken = value === null;
  });
  pen.stroke();
}

function drawInterval(pen, name, y) {  // a column per frame, none over its neighbour: both would show through
  const low = result.traces[name + "_low"], high = result.traces[name + "_high"];
  pen.fillStyle = COLOURS[name]; pen.globalAlpha = 0.14;
  result.time_s.forEach((time, i) => {
    if (low[i] === null) return;
    const left = Math.floor(xOf(time));
    const right = Math.floor(i + 1 < result.time_s.length ? xOf(result.time_s[i + 1]) : LEFT + inner());
    pen.fillRect(left, y(high[i]), right - left, y(low[i]) - y(high[i]));
  });
  pen.globalAlpha = 1;
}

function drawBands(pen, panel, y) {  // a column per frame: a frame without a weight leaves a gap
  result.time_s.forEach((time, i) => {
    const audio = result.traces.audio[i], left = Math.floor(xOf(time));  // whole pixels: no seams
    if (audio === null) return;
    const right = Math.ceil(i + 1 < result.time_s.length ? xOf(result.time_s[i + 1]) : LEFT + inner());
    pen.fillStyle = COLOURS.visual;
    pen.fillRect(left, y(1), right - left, y(audio) - y(1));
    pen.fillStyle = COLOURS.audio;
    pen.fillRect(left, y(audio), right - left, y(0) - y(audio));
  });
}

function drawAxis(pen, bottom, ink) {
  const room = inner() / 75;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((s) => (last() - first()) / s <= room) || 1800;
  pen.fillStyle = ink; pen.globalAlpha = 0.75; pen.textAlign = "center"; pen.textBaseline = "top";
  for (let time = Math.ceil(first() / step) * step; time <= last() + 1e-6; time += step)
    pen.fillText(+time.toFixed(1) + " s", Math.min(xOf(time), LEFT + inner() - 10), bottom + 8);
  pen.globalAlpha = 1;
}

// ---- the cursor and the video ----------------------------------------------------------------------------------
function moveCursor(time) {
  if (!result) return;
  const i = frameAt(time), traces = result.traces, box = part("traces");
  part("cursor").style.left = xOf(Math.min(last(), Math.max(first(), time))) + "px";
  part("cursor").dataset.time = time.toFixed(3);
  box.setAttribute("aria-valuemax", last().toFixed(2));
  box.setAttribute("aria-valuenow", time.toFixed(2));
  part("now").replaceChildren(make("b", {}, result.time_s[i].toFixed(2) + " s"), ...Object.keys(traces).filter((name) => NAMES[name]).map((name) => {
    const dot = make("i", {}); dot.style.background = COLOURS[name];
    const ends = traces[name + "_low"] && traces[name][i] !== null
      ? ` (${signed(traces[name + "_low"][i])} to ${signed(traces[name + "_high"][i])})` : "";
    const value = (name in { valence: 0, arousal: 0 } ? signed : percent)(traces[name][i]);
    return make("span", {}, dot, NAMES[name] + " ", make("b", {}, value), ends);
  }));
}

function follow() {  // every shown frame where the browser tells of them, else every repaint
  const video = part("overlay");
  if (!video || video.paused || video.ended) return;
  moveCursor(video.currentTime);
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow); else requestAnimationFrame(follow);
}

function seek(event) {
  const time = timeAt(event.clientX - part("traces").getBoundingClientRect().left);
  part("overlay").currentTime = time;
  moveCursor(time);
}

function press(event) {
  const video = part("overlay"), pressed = event.target.closest("button, video");
  if (pressed === part("play") || pressed === video) video.paused ? video.play() : video.pause();
  if (pressed === part("mute")) video.muted = !video.muted;
  if (pressed === part("full")) video.requestFullscreen();
}

function nameButtons() {
  part("play").textContent = part("overlay").paused ? "Play" : "Pause";
  part("mute").textContent = part("overlay").muted ? "Sound on" : "Mute";
}

function step(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (by === undefined || !result) return;
  const end = result.time_s.length - 1, video = part("overlay");
  video.currentTime = result.time_s[Math.min(end, Math.max(0, frameAt(video.currentTime) + by))] + 1e-3;
  event.preventDefault();
}

for (const name of ["timeupdate", "seeking", "seeked", "loadeddata"])
  element.addEventListener(name, (event) => moveCursor(event.target.currentTime), true);
element.addEventListener("play", follow, true);
for (const name of ["play", "pause", "volumechange"]) element.addEventListener(name, nameButtons, true);
element.addEventListener("click", press);
element.addEventListener("pointerdown", (event) => event.target.closest(".traces") && seek(event));
element.addEventListener("pointermove", (event) => event.buttons === 1 && event.target.closest(".traces") && seek(event));
element.addEventListener("keydown", (event) => event.target.closest(".traces") && step(event));
new ResizeObserver(draw).observe(element);

// ---- a new result ----------------------------------------------------------------------------------------------
function show() {
  result = props.value && props.value.time_s ? props.value : null;
  part("iaca-result").hidden = !result;
  if (!result) return part("overlay").removeAttribute("src");
  panels = choosePanels();
  part("name").textContent = result.name;
  part("stamp").textContent = result.stamp;
  part("overlay").src = result.overlay;
  part("tiles").replaceChildren(...result.tiles.map(({ label, value }) => make("div", {}, make("dt", {}, label), make("dd", {}, value))));
  part("warnings").replaceChildren(...result.warnings.map((words) => make("li", {}, words)));
  part("files").replaceChildren(...result.files.map(({ label, name, address }) => make("a", { href: address, download: name }, label)));
  draw();
}
watch("value", show);
show();
