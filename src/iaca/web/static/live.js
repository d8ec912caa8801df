// The live view: after a click, camera and microphone; each frame goes to the server with the sound up to it, one at a
// time, and its rows are drawn. Gradio runs this once with `element`. No picture is kept; the table is, in this page.
const ADDRESS = "/iaca/live", COLOURS = { valence: "#2f7fc4", arousal: "#e07a1f", audio: "#3aa396", visual: "#a3447c" };
const FPS = 15, WIDTH = 640, QUALITY = 0.9, SPAN_S = 30, TRAIL_S = 3, SOUND_WAIT_MS = 120, MOST_ROWS = 108000;
const part = (name) => element.querySelector("." + name);
const signed = (value) => {  // no sign on what rounds to 0
  if (value === null) return "–";
  const digits = Math.abs(value).toFixed(2);
  return (+digits === 0 ? "" : value < 0 ? "−" : "+") + digits;
};
const KEY = localStorage.getItem("iaca-key") || Array.from(crypto.getRandomValues(new Uint8Array(16)),
  (byte) => byte.toString(16).padStart(2, "0")).join("");
localStorage.setItem("iaca-key", KEY);

let run = null, rows = [], behind = 0;
const video = part("camera").querySelector("video"), picture = document.createElement("canvas");

async function ask(path, body) {
  const answer = await fetch(ADDRESS + path, { method: "POST", headers: { "x-iaca-key": KEY }, body, keepalive: path === "/stop" });
  const found = await answer.json().catch(() => ({ problem: `the page answered ${answer.status}`, remedy: "reload it" }));
  if (!answer.ok) throw found;
  return found;
}

function say(error) {
  part("live-message").hidden = !error;
  if (!error) return;
  const bold = Object.assign(document.createElement("b"), { textContent: (error.problem || error.message || error) + "." });
  part("live-message").replaceChildren(bold, error.remedy ? `What helps: ${error.remedy}.` : "");
}

// ---- camera, microphone ----------------------------------------------------------------------------------------
const WORKLET = `registerProcessor("iaca-sound", class extends AudioWorkletProcessor {
  process(inputs) {
    const channels = inputs[0];
    if (channels.length) {
      const mono = new Float32Array(channels[0].length);
      for (const channel of channels) channel.forEach((value, i) => { mono[i] += value / channels.length; });
      this.port.postMessage(mono, [mono.buffer]);
    }
    return true;
  }
});`;

async function devices() {  // without a microphone the face alone is read, and without a camera nothing
  const wanted = { width: { ideal: WIDTH }, height: { ideal: 360 }, frameRate: { ideal: FPS } };
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: plain });
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
    return navigator.mediaDevices.getUserMedia({ video: wanted });
  }
}

function refused(error) {
  if (!navigator.mediaDevices) return { problem: "this browser has no camera here", remedy: "open the page as http://127.0.0.1 or localhost" };
  const known = {
    NotAllowedError: { problem: "camera and microphone were not allowed", remedy: "allow them for this page in the browser, and start again" },
    NotFoundError: { problem: "there is no camera", remedy: "connect one, and start again" },
    NotReadableError: { problem: "the camera is in use", remedy: "close the other program, and start again" },
  };
  return known[error.name] || error;
}

async function listen(stream, at) {  // samples are counted: the sound card's own clock, from its first sample on
  if (!stream.getAudioTracks().length) return null;
  let context;
  try {
    context = new AudioContext({ sampleRate: 16000 });
    context.createMediaStreamSource(stream);
  } catch { context = new AudioContext(); }  // a browser that does not resample: the server does
  const url = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  await context.audioWorklet.addModule(url);
  URL.revokeObjectURL(url);
  const node = new AudioWorkletNode(context, "iaca-sound"), sound = { context, rate: context.sampleRate, parts: [], sent: 0, count: 0, start: null };
  node.port.onmessage = ({ data }) => {
    if (sound.start === null) sound.start = Math.max(at() - data.length / sound.rate, 0);
    sound.parts.push(data);
    sound.count += data.length;
  };
  context.createMediaStreamSource(stream).connect(node);
  await context.resume();
  return sound;
}

const heard = (sound) => (sound.start === null ? -1 : sound.start + sound.count / sound.rate);

function taken(sound) {  // what arrived since the last frame, as 16 bits
  const first = sound.start === null ? 0 : sound.start + sound.sent / sound.rate, length = sound.parts.reduce((sum, x) => sum + x.length, 0);
  const samples = new Int16Array(length);
  let place = 0;
  for (const some of sound.parts) for (const value of some) samples[place++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
  sound.parts = [];
  sound.sent += length;
  return { first, samples };
}

// ---- the loop --------------------------------------------------------------------------------------------------
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function frame(current) {
  const scale = Math.min(1, WIDTH / video.videoWidth), time = current.at();
  picture.width = Math.round(video.videoWidth * scale);
  picture.height = Math.round(video.videoHeight * scale);
  picture.getContext("2d").drawImage(video, 0, 0, picture.width, picture.height);
  const jpeg = await new Promise((resolve) => picture.toBlob(resolve, "image/jpeg", QUALITY));
  const { sound } = current;
  for (const limit = performance.now() + SOUND_WAIT_MS; sound && heard(sound) <= time && performance.now() < limit;) await pause(4);
  const { first, samples } = sound ? taken(sound) : { first: 0, samples: new Int16Array(0) };
  const head = new TextEncoder().encode(JSON.stringify({ time_s: time, sound_s: first, rate: sound ? sound.rate : 16000, picture: jpeg.size }));
  if (run !== current) return;
  current.asked = ask("/step", new Blob([new Uint32Array([head.length]), head, jpeg, samples]));
  const answer = await current.asked;
  if (run !== current) return;
  for (const row of answer.rows) {
    behind = 1000 * (current.at() - row.time_s);
    rows.push({ ...row, latency_ms: Math.round(behind) });
  }
  if (rows.length > MOST_ROWS) rows = rows.slice(-MOST_ROWS);
  if (answer.rows.length) draw();
  part("camera").dataset.rows = rows.length;
  part("camera").dataset.computed = answer.computed_ms.toFixed(1);
}

async function loop(current) {
  let due = current.at();
  while (run === current) {
    await frame(current);
    due = Math.max(due + 1 / FPS, current.at());
    await pause(1000 * (due - current.at()));
  }
}

async function start() {
  say(null);
  const begun = performance.now(), current = { at: () => (performance.now() - begun) / 1000 };
  run = current;
  part("start").disabled = true;
  part("stop").disabled = false;
  part("live-now").textContent = "Loading the model …";
  try {
    current.stream = await devices();
    if (run !== current) return release(current);
    video.srcObject = current.stream;
    await video.play();
    current.asked = ask("/start");
    const { stamp } = await current.asked;
    if (run !== current) return;
    rows = [];
    part("stamp").textContent = stamp;
    current.at = ((zero) => () => (performance.now() - zero) / 1000)(performance.now());
    current.sound = await listen(current.stream, () => current.at());
    await loop(current);
  } catch (error) {
    if (run !== current) return;  // it was stopped meanwhile
    say(refused(error));
    stop();
  }
}

function release({ stream, sound }) {  // the camera's light goes out
  if (stream) stream.getTracks().forEach((track) => track.stop());
  if (sound) sound.context.close();
}

function stop(leaving = false) {
  const current = run, end = () => ask("/stop").catch(() => {});
  run = null;
  release(current);
  if (leaving || !current.asked) end();
  else current.asked.catch(() => {}).finally(end);  // what was sent is answered first
  video.srcObject = null;
  part("start").disabled = false;
  part("stop").disabled = true;
  part("save").disabled = !rows.length;
  if (!rows.length) part("live-now").textContent = "";
}

function save() {
  const names = Object.keys(rows[0]), text = [names.join(","), ...rows.map((row) => names.map((name) => row[name] ?? "").join(","))].join("\n");
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text + "\n"], { type: "text/csv" })), download: "live.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- drawing ---------------------------------------------------------------------------------------------------
function pen(canvas, height) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "12px " + getComputedStyle(element).fontFamily;
  context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color;
  return [context, width];
}

function gates(row) {  // shares of voice and face: of the first gate that weighs both
  const name = Object.keys(row).find((key) => key.startsWith("gate_") && key.endsWith("_audio") && key.replace(/_audio$/, "_visual") in row);
  return name ? { audio: row[name], visual: row[name.replace(/_audio$/, "_visual")] } : null;
}

function drawPlane() {
  const canvas = part("live-plane"), [context, width] = pen(canvas, Math.min(canvas.clientWidth, 320));
  const side = Math.min(width, 320) - 40, left = (width - side) / 2, top = 12, last = rows[rows.length - 1];
  const x = (value) => left + ((value + 1) / 2) * side, y = (value) => top + ((1 - value) / 2) * side;
  context.globalAlpha = 0.35;
  context.strokeRect(left, top, side, side);
  context.fillRect(x(0), top, 1, side);
  context.fillRect(left, y(0), side, 1);
  context.globalAlpha = 0.8;
  context.textAlign = "center";
  context.fillText("valence", x(0), top + side + 18);
  context.save();
  context.translate(left - 8, y(0));
  context.rotate(-Math.PI / 2);
  context.fillText("arousal", 0, 0);
  context.restore();
  for (const row of rows.slice(-FPS * TRAIL_S)) {
    if (row.valence === null || row.arousal === null || last.time_s - row.time_s > TRAIL_S) continue;
    context.globalAlpha = row === last ? 1 : 0.1 + 0.4 * (1 - (last.time_s - row.time_s) / TRAIL_S);
    context.fillStyle = "#1f6fb4";
    if (row === last && row.valence_low !== null) {
      context.globalAlpha = 0.15;
      context.fillRect(x(row.valence_low), y(row.arousal_high), x(row.valence_high) - x(row.valence_low), y(row.arousal_low) - y(row.arousal_high));
      context.globalAlpha = 1;
    }
    context.beginPath();
    context.arc(x(row.valence), y(row.arousal), row === last ? 8 : 3, 0, 7);
    context.fill();
  }
}

function drawTraces() {
  const [context, width] = pen(part("live-traces"), 190), left = 44, ink = context.fillStyle;
  const last = rows[rows.length - 1].time_s, shown = rows.slice(-FPS * SPAN_S * 2).filter((row) => last - row.time_s <= SPAN_S);
  const x = (time) => width - 8 - ((last - time) / SPAN_S) * (width - left - 8), y = (value) => 20 + ((1 - value) / 2) * 110;
  context.textAlign = "right";
  for (const tick of [-1, 0, 1]) {
    context.fillStyle = ink;
    context.globalAlpha = 0.75;
    context.fillText(String(tick).replace("-", "−"), left - 6, y(tick) + 4);
    context.globalAlpha = 0.2;
    context.fillRect(left, y(tick), width - left - 8, 1);
  }
  let word = left;
  for (const name of ["valence", "arousal"]) {
    context.fillStyle = context.strokeStyle = COLOURS[name];
    context.globalAlpha = 0.15;
    shown.forEach((row, i) => {
      if (row[name + "_low"] === null || i + 1 === shown.length) return;
      context.fillRect(x(row.time_s), y(row[name + "_high"]), x(shown[i + 1].time_s) - x(row.time_s), y(row[name + "_low"]) - y(row[name + "_high"]));
    });
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.beginPath();
    let broken = true;
    for (const row of shown) {
      if (row[name] !== null) context[broken ? "moveTo" : "lineTo"](x(row.time_s), y(row[name]));
      broken = row[name] === null;
    }
    context.stroke();
    context.textAlign = "left";
    context.fillText(name, word, 12);
    word += context.measureText(name).width + 16;
  }
  shown.forEach((row, i) => {  // a column per frame: voice below, face above
    const share = gates(row), next = i + 1 < shown.length ? x(shown[i + 1].time_s) : width - 8;
    if (!share || share.audio === null) return;
    const from = Math.floor(x(row.time_s)), size = Math.ceil(next) - from;
    context.fillStyle = COLOURS.visual;
    context.fillRect(from, 142, size, 40 * share.visual);
    context.fillStyle = COLOURS.audio;
    context.fillRect(from, 142 + 40 * share.visual, size, 40 * share.audio);
  });
  context.fillStyle = ink;
  context.textAlign = "right";
  context.fillText("face", left - 6, 154);
  context.fillText("voice", left - 6, 182);
}

function draw() {
  if (!rows.length || !element.clientWidth) return;
  const row = rows[rows.length - 1], share = gates(row);
  const said = [`valence ${signed(row.valence)}`, `arousal ${signed(row.arousal)}`, `${Math.round(behind)} ms behind the camera`];
  if (share && share.audio !== null) said.push(`voice ${Math.round(100 * share.audio)} %`);
  if (!row.face_found) said.push("no face");
  if (!row.audio_present) said.push("no sound");
  part("live-now").replaceChildren(...said.map((words) => Object.assign(document.createElement("span"), { textContent: words })));
  drawPlane();
  drawTraces();
}

part("start").addEventListener("click", start);
part("stop").addEventListener("click", () => stop());
part("save").addEventListener("click", save);
window.addEventListener("pagehide", () => run && stop(true));
document.addEventListener("iaca-tab", ({ detail }) => { if (detail !== "live" && run) stop(); });
new ResizeObserver(draw).observe(element);
