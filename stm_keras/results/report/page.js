"use strict";

// All words of files come as text, never as markup: by textContent alone.
const content = JSON.parse(element("content").textContent);
const found = content.found ?? null;
const frame = content.frame_nm;
const nBiases = content.bias_v.length;

const MARK_PX = 11; // radius of a mark on the screen
const REACH_PX = 16; // so near to a mark, the pointer means it
const LEAST_PROBABILITY = 0.02; // of a candidate
const WIDTHS_NM = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const KINDS = 6; // of colours for species, see page.css
const PREFIXES = { "-5": "f", "-4": "p", "-3": "n", "-2": "µ", "-1": "m",
  0: "", 1: "k", 2: "M", 3: "G" };

const state = {
  layer: 0,
  bias: Math.floor(nBiases / 2),
  colours: Object.keys(content.colours)[0],
  threshold: found ? found.threshold : 0,
  ellipses: 1,
  zoom: 1,
  chosen: null, // index of an impurity
  sort: { column: "rank", falling: false },
  focused: 0, // line of the table that the Tab key comes to
};

const columns = new Map(found ? found.columns.map((c) => [c.name, c]) : []);
const scores = columns.get("score")?.values ?? [];
const decoded = new Map();

// ---------------------------------------------------------------- pictures

/** Bytes of a text in base64. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** An image's pixels, 0 where not measured and else 1 to 255. */
async function codesOf(layer, index) {
  const key = `${layer} ${index}`;
  if (!decoded.has(key)) {
    decoded.set(key, unpacked(content.layers[layer], index));
  }
  return decoded.get(key);
}

async function unpacked(layer, index) {
  const packed = new Blob([bytesOf(layer.images[index])]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const codes = bytes.subarray(1);
  if (bytes[0] === 1) { // differences to the pixel on the left
    const [rows, cols] = layer.shape;
    for (let row = 0; row < rows; row++) {
      for (let at = row * cols + 1; at < (row + 1) * cols; at++) {
        codes[at] = (codes[at] + codes[at - 1]) & 255;
      }
    }
  }
  return codes;
}

/** Which image of the layer belongs to the bias. */
function imageIndex() {
  const many = content.layers[state.layer].images.length > 1;
  return many ? state.bias : 0;
}

async function drawPicture() {
  const { layer, colours } = state;
  const index = imageIndex();
  const codes = await codesOf(layer, index);
  if (layer !== state.layer || index !== imageIndex()) {
    return; // the user has moved on
  }
  const [rows, cols] = content.layers[layer].shape;
  const canvas = element("picture");
  canvas.width = cols;
  canvas.height = rows;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(cols, rows);
  const table = colourTable(colours);
  codes.forEach((code, at) => image.data.set(table[code], 4 * at));
  pen.putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", describe());
}

/** Red, green, blue, opacity of each code. */
function colourTable(name) {
  const colours = bytesOf(content.colours[name]);
  const table = [[0x7f, 0x9c, 0x9c, 255]]; // --no-value
  for (let code = 1; code < 256; code++) {
    const at = 3 * Math.round(((code - 1) * 255) / 254);
    table.push([colours[at], colours[at + 1], colours[at + 2], 255]);
  }
  return table;
}

function drawColourBar() {
  const canvas = element("colour-bar");
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(256, 1);
  image.data.set(bytesOf(content.colours[state.colours]).reduce(
    (all, value, at) => {
      all[at + Math.floor(at / 3)] = value;
      return all;
    },
    new Uint8ClampedArray(1024).fill(255),
  ));
  pen.putImageData(image, 0, 0);
  const layer = content.layers[state.layer];
  const [low, high] = layer.ranges[imageIndex()];
  element("low").textContent = quantity(low, layer.unit);
  element("high").textContent = quantity(high, layer.unit);
}

function describe() {
  const layer = content.layers[state.layer];
  const size = `${short(frame.height)} x ${short(frame.width)} nm`;
  const where = layer.images.length > 1 ? ` at ${biasWords()}` : "";
  return `${layer.name}${where}, ${size}`;
}

function biasWords() {
  return `${short(1000 * content.bias_v[state.bias], 5)} mV`;
}

/** The value of the picture at a place, in words. */
function valueAt(x, y, codes) {
  const layer = content.layers[state.layer];
  const [rows, cols] = layer.shape;
  const col = Math.floor(((x - frame.left) / frame.width) * cols);
  const row = Math.floor(((y - frame.top) / frame.height) * rows);
  const code = codes[row * cols + col];
  if (code === undefined) {
    return "";
  }
  const [low, high] = layer.ranges[imageIndex()];
  const value = quantity(low + ((code - 1) / 254) * (high - low), layer.unit);
  const beyond = { 0: "not measured", 1: `${value} or less`,
    255: `${value} or more` };
  return beyond[code] ?? value;
}

// ------------------------------------------------------------------- marks

/** Indices of the impurities that are sure enough, the surest first. */
function counted() {
  return scores.flatMap((score, at) => (score >= state.threshold ? [at] : []));
}

function valueOf(name, at) {
  return columns.get(name)?.values[at] ?? null;
}

function svg(name, attributes) {
  const made = document.createElementNS(element("marks").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}

/** A shape twice: a dark line, and a bright one on it. */
function outlined(name, attributes) {
  return ["under", "over"].map((c) => svg(name, { ...attributes, class: c }));
}

function drawMarks() {
  const marks = element("marks");
  marks.setAttribute("viewBox",
    `${frame.left} ${frame.top} ${frame.width} ${frame.height}`);
  marks.setAttribute("preserveAspectRatio", "none");
  marks.replaceChildren();
  if (element("show-truth").checked) {
    marks.append(...(content.truth_nm ?? []).map(cross));
  }
  if (found && element("show-marks").checked) {
    marks.append(...counted().map(mark));
  }
}

function mark(at) {
  const centre = { cx: valueOf("x_nm", at), cy: valueOf("y_nm", at) };
  const group = svg("g", { class: markClass(at), "data-index": at });
  const radius = MARK_PX * nmPerPx();
  group.append(...outlined("circle", { ...centre, r: radius }));
  const [sx, sy] = [valueOf("std_x_nm", at), valueOf("std_y_nm", at)];
  if (state.ellipses && sx !== null && sy !== null) {
    const [rx, ry] = [2 * state.ellipses * sx, 2 * state.ellipses * sy];
    group.append(...outlined("ellipse", { ...centre, rx, ry }));
  }
  return group;
}

function markClass(at) {
  const names = ["mark"];
  if (at >= found.count) {
    names.push("added");
  }
  if (at === state.chosen) {
    names.push("chosen");
  }
  if (valueOf("species", at) !== null) {
    names.push(kindClass(valueOf("species", at)));
  }
  return names.join(" ");
}

function kindClass(kind) {
  return `kind-${(species().indexOf(kind) % KINDS) + 1}`;
}

/** The kinds of impurities in the table, in their order. */
function species() {
  const values = columns.get("species")?.values ?? [];
  return [...new Set(values)].filter((value) => value !== null).sort();
}

function cross([x, y]) {
  const arm = 5 * nmPerPx();
  const path = `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`;
  return svg("path", { d: path, class: "true" });
}

function nmPerPx() {
  return frame.width / element("stage").clientWidth;
}

/** The impurity at a place of the screen, or null. */
function markAt(event) {
  const [x, y] = placeOf(event);
  let [nearest, least] = [null, REACH_PX * nmPerPx()];
  if (!element("show-marks").checked) {
    return null;
  }
  for (const at of counted()) {
    const away = Math.hypot(valueOf("x_nm", at) - x, valueOf("y_nm", at) - y);
    if (away < least) {
      [nearest, least] = [at, away];
    }
  }
  return nearest;
}

/** x and y [nm] of a place of the screen. */
function placeOf(event) {
  const box = element("marks").getBoundingClientRect();
  return [
    frame.left + ((event.clientX - box.left) / box.width) * frame.width,
    frame.top + ((event.clientY - box.top) / box.height) * frame.height,
  ];
}

async function pointAt(event) {
  const [x, y] = placeOf(event);
  const hint = element("hint");
  const at = markAt(event);
  hint.hidden = at === null;
  if (at !== null) {
    hint.textContent = facts(at).map(([a, b]) => `${a} ${b}`).join(" · ");
    const box = element("figure").getBoundingClientRect();
    const left = event.clientX - box.left + 14;
    hint.style.left = `${Math.max(0, Math.min(left, box.width - 280))}px`;
    hint.style.top = `${event.clientY - box.top + 14}px`;
  }
  const codes = await codesOf(state.layer, imageIndex());
  const place = `x ${short(x, 4)}, y ${short(y, 4)} nm`;
  element("pointer").textContent = `${place}: ${valueAt(x, y, codes)}`;
}

function leave() {
  element("hint").hidden = true;
  element("pointer").textContent = "";
}

// ------------------------------------------------------- size, bar of scale

function layOut() {
  const view = element("view");
  const height = Math.max(240, 0.85 * window.innerHeight);
  const ratio = frame.width / frame.height;
  const fitting = Math.min(view.parentElement.clientWidth, height * ratio);
  const width = Math.floor(fitting * state.zoom);
  const stage = element("stage");
  stage.style.width = `${width}px`;
  stage.style.height = `${Math.round(width / ratio)}px`;
  element("zoom").textContent = `${Math.round(100 * state.zoom)} %`;
  drawScaleBar();
  drawMarks();
}

function drawScaleBar() {
  const visible = element("view").clientWidth * nmPerPx();
  const fifth = Math.min(visible, frame.width) / 5;
  const ratio = (length) => Math.abs(Math.log(length / fifth));
  const length = WIDTHS_NM.reduce((a, b) => (ratio(b) < ratio(a) ? b : a));
  const bar = element("scale-length");
  bar.style.width = `${length / nmPerPx()}px`;
  bar.textContent = `${length} nm`;
  bar.setAttribute("aria-label", `Scale bar, ${length} nm`);
}

function enlarge(factor) {
  state.zoom = Math.min(8, Math.max(1, state.zoom * factor));
  layOut();
}

// --------------------------------------------------------------- threshold

/** How many of those counted are expected to be false, in words. */
function expectedWords(indices) {
  const n = indices.length;
  if (!found.probabilities || n === 0) {
    return "";
  }
  const sum = indices.reduce((all, at) => all + 1 - scores[at], 0);
  const these = n === 1 ? "this one" : `these ${n}`;
  const about = `(${short(sum, 2)} by their probabilities)`;
  if (n === 1) {
    return `${these} is false with a probability of ${short(sum, 2)}`;
  }
  if (sum < 0.25) {
    return `probably none of ${these} is false ${about}`;
  }
  if (sum >= 10) {
    return `about ${Math.round(sum)} of ${these} are expected to be false`;
  }
  return `${fewWords(sum)} of ${these} ${fewVerb(sum)} expected to be false ` +
    about;
}

function fewWords(sum) {
  const low = Math.floor(sum);
  if (sum - low < 0.15) {
    return `${low}`;
  }
  if (sum - low > 0.85) {
    return `${low + 1}`;
  }
  return low === 0 ? "none or 1" : `${low} or ${low + 1}`;
}

function fewVerb(sum) {
  return sum < 1.15 ? "is" : "are";
}

function scoreWords(value) {
  return found.probabilities ? value.toFixed(2) : short(value, 3);
}

function summarise() {
  if (!found) {
    element("summary").textContent = "No search was made: these are the maps.";
    return;
  }
  const indices = counted();
  const n = indices.length;
  const least = scoreWords(state.threshold);
  const name = found.probabilities ? "a probability" : "a score";
  const many = n === 1 ? "1 impurity has" : `${n || "No"} impurities have`;
  const one = n ? many : "No impurity has";
  const expected = expectedWords(indices);
  element("summary").textContent = [
    `${one} ${name} of ${least} or more${expected ? `; ${expected}` : ""}.`,
    content.warnings.length ? "Mind the warnings." : "",
  ].join(" ").trim();
  element("threshold-value").textContent = least;
  element("threshold").setAttribute("aria-valuetext",
    `${least}: ${n} counted${expected ? `, ${expected}` : ""}`);
  const added = indices.filter((at) => at >= found.count).length;
  element("expected").textContent = [
    `${n} of ${scores.length} candidates counted`,
    expected,
    added ? `dashed: ${added} that the prediction left out` : "",
  ].filter(Boolean).join("; ");
}

function setThreshold(value) {
  state.threshold = value;
  summarise();
  drawMarks();
  drawTable();
  if (state.chosen !== null && scores[state.chosen] < value) {
    choose(null);
  }
}

function setUpThreshold() {
  const slider = element("threshold");
  const lowest = Math.min(found.threshold, ...scores.slice(-1), 1e9);
  if (found.probabilities) {
    slider.min = Math.min(LEAST_PROBABILITY, Math.floor(100 * lowest) / 100);
    slider.max = 1;
    slider.step = 0.01;
  } else {
    slider.min = lowest;
    slider.max = Math.max(lowest + 1, ...scores.slice(0, 1));
    slider.step = (slider.max - slider.min) / 200;
  }
  slider.value = found.threshold;
  element("threshold-name").textContent = found.probabilities
    ? "Least probability" : "Least score S";
  slider.addEventListener("input", () => setThreshold(Number(slider.value)));
  element("as-predicted").addEventListener("click", () => {
    slider.value = found.threshold;
    setThreshold(found.threshold);
  });
}

// ------------------------------------------------------------ one impurity

/** What is known of an impurity: pairs of a name and words. */
function facts(at) {
  const told = [["No.", valueOf("rank", at)]];
  told.push([found.probabilities ? "Probability" : "Score S",
    cell(scores[at], "score")]);
  told.push(["Row, column",
    `${short(valueOf("row", at), 5)}, ${short(valueOf("col", at), 5)} px`]);
  const nm = (name) => withDeviation(valueOf(`${name}_nm`, at),
    valueOf(`std_${name}_nm`, at));
  told.push(["x, y", `${nm("x")}, ${nm("y")} nm`]);
  if (columns.has("scanner_x_nm")) {
    const scanner = ["scanner_x_nm", "scanner_y_nm"]
      .map((name) => short(valueOf(name, at), 6)).join(", ");
    told.push(["Scanner x, y", `${scanner} nm`]);
  }
  for (const { name, heading, unit } of further()) {
    told.push([heading, `${cell(valueOf(name, at), name)} ${unit}`.trim()]);
  }
  return told;
}

/** Columns that the fixed facts do not hold: species, phases ... */
function further() {
  const fixed = /^(rank|score|row|col|((std|scanner)_)?[xy]_nm)$/;
  return [...columns.values()].filter(({ name }) => !fixed.test(name));
}

function withDeviation(value, deviation) {
  if (deviation === null) {
    return value.toFixed(3);
  }
  return `${value.toFixed(3)} ± ${deviation.toFixed(3)}`;
}

function choose(at) {
  state.chosen = at;
  const list = element("chosen-facts");
  list.replaceChildren(...(at === null ? [] : facts(at).flatMap(pair)));
  element("chosen-none").hidden = at !== null;
  element("chosen-heading").textContent =
    at === null ? "Impurity" : `Impurity ${valueOf("rank", at)}`;
  for (const row of element("table-body").rows) {
    row.setAttribute("aria-selected", Number(row.dataset.index) === at);
  }
  drawMarks();
}

function pair([name, words]) {
  const [term, description] = [make("dt", name), make("dd", words)];
  return [term, description];
}

/** Bring the chosen one's line and mark into view. */
function reveal() {
  const rows = [...element("table-body").rows];
  const row = rows.find((one) => Number(one.dataset.index) === state.chosen);
  row?.scrollIntoView({ block: "nearest" });
}

// ------------------------------------------------------------------- table

function sorted() {
  const { column, falling } = state.sort;
  const values = columns.get(column).values;
  const order = (a, b) => {
    if (values[a] === values[b]) {
      return a - b;
    }
    if (values[a] === null || values[b] === null) {
      return values[a] === null ? 1 : -1; // what is not known comes last
    }
    return (values[a] < values[b] ? -1 : 1) * (falling ? -1 : 1);
  };
  return counted().sort(order);
}

function shownColumns() {
  const first = ["rank", "score"].map((name) => columns.get(name));
  const rest = [...columns.values()].filter((one) => !first.includes(one));
  return [...first, ...rest];
}

function headingOf({ name, heading, unit }) {
  const plain = name === "score" && found.probabilities
    ? "Probability" : heading;
  return unit ? `${plain} [${unit}]` : plain;
}

function drawHead() {
  const heads = shownColumns().map((column) => {
    const head = make("th");
    head.scope = "col";
    head.dataset.column = column.name;
    const button = make("button", headingOf(column));
    button.type = "button";
    button.addEventListener("click", () => sortBy(column.name));
    head.append(button);
    return head;
  });
  element("table-head").replaceChildren(...heads);
}

function sortBy(column) {
  const again = state.sort.column === column;
  const falling = again ? !state.sort.falling : column === "score";
  state.sort = { column, falling };
  drawTable();
}

function drawTable() {
  const shown = shownColumns();
  for (const head of element("table-head").children) {
    const own = head.dataset.column === state.sort.column;
    const way = state.sort.falling ? "descending" : "ascending";
    head.setAttribute("aria-sort", own ? way : "none");
    const arrow = own ? (state.sort.falling ? " ↓" : " ↑") : "";
    head.firstChild.textContent =
      headingOf(columns.get(head.dataset.column)) + arrow;
  }
  const rows = sorted().map((at) => {
    const row = make("tr");
    row.dataset.index = at;
    row.tabIndex = -1;
    row.setAttribute("aria-selected", at === state.chosen);
    row.append(...shown.map(({ name }) =>
      make("td", cell(valueOf(name, at), name))));
    return row;
  });
  element("table-body").replaceChildren(...rows);
  focusable(0);
}

function cell(value, name) {
  if (value === null) {
    return "";
  }
  if (name === "score" && found.probabilities) {
    return value >= 0.9995 ? "> 0.999" : value.toFixed(3);
  }
  if (typeof value !== "number" || Number.isInteger(value)) {
    return `${value}`;
  }
  return name.endsWith("_nm") ? value.toFixed(3) : short(value, 4);
}

/** One line of the table is a stop of the Tab key; arrows move it. */
function focusable(line) {
  const rows = element("table-body").rows;
  const at = Math.max(0, Math.min(line, rows.length - 1));
  rows[state.focused]?.setAttribute("tabindex", "-1");
  rows[at]?.setAttribute("tabindex", "0");
  state.focused = at;
  return rows[at];
}

function onTableKey(event) {
  const row = event.target.closest("tr");
  const last = element("table-body").rows.length - 1;
  const line = row.sectionRowIndex;
  const goal = { ArrowDown: line + 1, ArrowUp: line - 1, Home: 0,
    End: last }[event.key];
  if (goal !== undefined) {
    event.preventDefault();
    focusable(goal)?.focus();
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(Number(row.dataset.index));
  }
}

function onTableClick(event) {
  const row = event.target.closest("tr");
  if (row) {
    focusable(row.sectionRowIndex);
    choose(Number(row.dataset.index));
  }
}

/** The table as it is shown, with the columns of positions.csv. */
function csv() {
  const least = `score: ${found.meaning}; detections of at least ` +
    String(state.threshold);
  const head = [...found.csv_head, least].flatMap((line) => line.split("\n"));
  const names = [...columns.keys()];
  const lines = sorted().map((at) =>
    names.map((name) => csvCell(valueOf(name, at), name)).join(","));
  return [...head.map((line) => `# ${line}`), names.join(","), ...lines, ""]
    .join("\n");
}

function csvCell(value, name) {
  const exact = name === "score" ? short(value, 8) : value;
  const text = value === null ? "" : String(exact);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "positions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ------------------------------------------------------------------- words

function element(id) {
  return document.getElementById(id);
}

function make(name, words = "") {
  const made = document.createElement(name);
  made.textContent = words;
  return made;
}

/** A number in few digits, without an exponent where it can be. */
function short(value, digits = 4) {
  return String(Number(value.toPrecision(digits)));
}

/** A value in the prefix that suits it. */
function quantity(value, unit) {
  if (!unit || value === 0) {
    return `${short(value, 3)} ${unit}`.trim();
  }
  const power = Math.floor(Math.log10(Math.abs(value)) / 3);
  const prefix = PREFIXES[power];
  if (prefix === undefined) {
    return `${value.toExponential(2)} ${unit}`;
  }
  return `${short(value / 1000 ** power, 3)} ${prefix}${unit}`;
}

// ------------------------------------------------------------------- start

function setUpLayers() {
  element("layers").replaceChildren(...content.layers.map((layer, at) => {
    const label = make("label");
    const button = make("input");
    button.type = "radio";
    button.name = "layer";
    button.value = at;
    button.checked = at === state.layer;
    button.addEventListener("change", () => {
      state.layer = at;
      showLayer();
    });
    label.append(button, ` ${layer.name}`);
    return label;
  }));
}

function showLayer() {
  const layer = content.layers[state.layer];
  element("bias-value").textContent = biasWords();
  element("bias").setAttribute("aria-valuetext", biasWords());
  element("bias").disabled = layer.images.length < 2;
  element("caption").textContent = describe();
  drawColourBar();
  return drawPicture();
}

function setUpBias() {
  const slider = element("bias");
  slider.max = nBiases - 1;
  slider.value = state.bias;
  element("bias-control").hidden = nBiases < 2;
  slider.addEventListener("input", () => {
    state.bias = Number(slider.value);
    showLayer();
  });
}

function setUpColours() {
  const menu = element("colours");
  menu.replaceChildren(...Object.keys(content.colours).map((name) =>
    make("option", name)));
  menu.addEventListener("change", () => {
    state.colours = menu.value;
    drawColourBar();
    drawPicture();
  });
}

function setUpMarks() {
  const ellipses = element("ellipses");
  ellipses.addEventListener("change", () => {
    state.ellipses = Number(ellipses.value);
    drawMarks();
  });
  element("ellipse-control").hidden = !columns.has("std_x_nm");
  element("truth-control").hidden = !content.truth_nm;
  element("show-marks").addEventListener("change", drawMarks);
  element("show-truth").addEventListener("change", drawMarks);
  const marks = element("marks");
  marks.addEventListener("pointermove", pointAt);
  marks.addEventListener("pointerleave", leave);
  marks.addEventListener("click", (event) => {
    if (found) {
      choose(markAt(event));
      reveal();
    }
  });
  element("larger").addEventListener("click", () => enlarge(1.5));
  element("smaller").addEventListener("click", () => enlarge(1 / 1.5));
  drawKey();
}

/** Which colour of the marks is which species. */
function drawKey() {
  const keys = species().map((kind) => {
    const key = make("span", `${kind}`);
    key.className = `key ${kindClass(kind)}`;
    return key;
  });
  element("mark-key").replaceChildren("Species: ", ...keys);
  element("mark-key").hidden = keys.length < 2;
}

function setUpTable() {
  drawHead();
  drawTable();
  const body = element("table-body");
  body.addEventListener("keydown", onTableKey);
  body.addEventListener("click", onTableClick);
  element("export").addEventListener("click", save);
}

function setUpWords() {
  element("heading").textContent =
    `${found ? "Impurities in" : "Maps of"} ${content.title}`;
  element("calibration").textContent = found?.calibration ?? "";
  element("about").replaceChildren(...content.about.flatMap(pair));
  element("steps").replaceChildren(...content.provenance.map((line) =>
    make("li", line)));
  element("remarks").replaceChildren(...content.remarks.map((line) =>
    make("p", line)));
  element("written-by").textContent = `Written by ${content.written_by}.`;
  const n = content.warnings.length;
  element("warnings").hidden = n === 0;
  element("warnings-heading").textContent = n === 1 ? "Warning"
    : `${n} warnings`;
  element("warning-list").replaceChildren(...content.warnings.map((one) => {
    const line = make("li", one.text);
    if (one.meaning) {
      const meaning = make("span", one.meaning);
      meaning.className = "small";
      line.append(meaning);
    }
    return line;
  }));
}

function start() {
  setUpWords();
  setUpLayers();
  setUpBias();
  setUpColours();
  setUpMarks();
  for (const id of ["threshold-control", "mark-control", "chosen",
    "table-section"]) {
    element(id).hidden = !found;
  }
  if (found) {
    setUpThreshold();
    setUpTable();
  }
  summarise();
  new ResizeObserver(layOut).observe(element("figure"));
  window.addEventListener("beforeprint", () => {
    element("provenance").open = true;
    state.zoom = 1;
    layOut();
  });
  layOut();
  return showLayer();
}

// Tells tests, too, that the first picture is drawn.
start().then(() => document.body.setAttribute("data-ready", "true"));
