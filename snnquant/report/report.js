(() => {
"use strict";
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
};
const svg = (name, attributes = {}) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const number = (value) => value.toLocaleString("en-US");

/* The words under the pointer, or at the cursor of the keyboard. */
const tip = byId("tip");
const say = (words, x, y) => {
  tip.hidden = false;
  if (tip.textContent !== words) tip.textContent = words;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  const top = y + 14 + box.height > innerHeight ? y - 10 - box.height : y + 14;
  tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
};
const hush = () => { tip.hidden = true; };
addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });

/* Theme: that of the system until one is chosen. */
const root = document.documentElement, themeButton = byId("theme");
const themes = ["auto", "light", "dark"];
let theme = "auto";
try { theme = localStorage.getItem("snnquant.theme") || "auto"; } catch { /* none is kept */ }
const setTheme = (name) => {
  theme = themes.includes(name) ? name : "auto";
  if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  themeButton.textContent = `Theme: ${theme}`;
  try { localStorage.setItem("snnquant.theme", theme); } catch { /* none is kept */ }
};
setTheme(theme);
themeButton.hidden = false;
themeButton.addEventListener("click", () => setTheme(themes[(themes.indexOf(theme) + 1) % 3]));

/* Tables that can be sorted. */
const collator = new Intl.Collator("en", { numeric: true });
const keyOf = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const read = Number(cell.textContent.replace(/[, %]/g, ""));
  if (cell.classList.contains("n")) return Number.isNaN(read) ? null : read;
  return cell.textContent;
};
for (const table of all("table.sortable")) {
  const body = table.tBodies[0], heads = all("thead th", table);
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (column === 0 && !head.hasAttribute("aria-sort"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" ? a - b : collator.compare(a, b);
        return up ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

/* The filter of layers, in tables and figures alike. */
const filter = byId("filter");
filter.closest("label").hidden = false;
filter.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const element of all("[data-layer]")) {
    element.hidden = !element.dataset.layer.toLowerCase().includes(wanted);
  }
});

/* Histograms: the row of the table beside it is what is shown. */
for (const chart of all("svg.chart")) {
  const rows = all("tbody tr", chart.closest("figure")).slice(0, Number(chart.dataset.rows));
  const heads = all("thead th", chart.closest("figure")).map((head) => head.textContent);
  const cursor = chart.querySelector(".cursor");
  const from = Number(chart.dataset.from), to = Number(chart.dataset.to);
  let at = -1;
  const show = (index, x, y) => {
    at = index;
    const cells = [...rows[index].cells].map((cell) => cell.textContent);
    const place = from + (index + 0.5) / rows.length * (to - from);
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.setAttribute("visibility", "visible");
    if (x === undefined) {
      const box = chart.getBoundingClientRect();
      x = box.left + place / chart.viewBox.baseVal.width * box.width;
      y = box.top + 12;
    }
    say(cells.map((cell, k) => `${heads[k]}: ${cell}`).join("\n"), x, y);
  };
  const leave = () => { cursor.setAttribute("visibility", "hidden"); hush(); };
  chart.tabIndex = 0;
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
    const index = Math.floor((x - from) / (to - from) * rows.length);
    if (index < 0 || index >= rows.length) leave(); else show(index, event.clientX, event.clientY);
  });
  chart.addEventListener("pointerleave", leave);
  chart.addEventListener("blur", leave);
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const start = at < 0 && Number.isFinite(move) ? Math.floor(rows.length / 2) : at + move;
    show(Math.max(0, Math.min(rows.length - 1, start)));
  });
}

/* The raster of spikes. */
const block = byId("raster-data");
if (block) drawRaster(JSON.parse(block.textContent), byId("raster"));

function drawRaster(data, place) {
  const [own, other] = data.names;
  const select = (label, names) => {
    const choice = make("select", {}, ...names.map((name, k) => make("option", { value: k, textContent: name })));
    return [choice, make("label", {}, label, choice)];
  };
  const [layerChoice, layerLabel] = select("Layer", data.layers.map((layer) => layer.name));
  const [sampleChoice, sampleLabel] = select("Sample", data.samples);
  const only = make("input", { type: "checkbox" });
  const onlyLabel = make("label", {}, only, "only neurons that differ");
  const controls = make("div", { className: "controls" }, sampleLabel, layerLabel);
  if (data.compared) controls.append(onlyLabel);
  const plot = make("div", { className: "plot", tabIndex: 0 });
  plot.setAttribute("role", "img");
  const legend = make("ul", { className: "key" });
  const more = data.graded ? ", or more" : "";
  const words = data.compared
    ? [["equal", "both"], ["more", `${own} only${more}`], ["fewer", `${other} only${more}`]]
    : [["alone", "spike"]];
  for (const [kind, text] of words) {
    const mark = make("span", { className: `half ${kind}` });
    mark.setAttribute("aria-hidden", "true");
    legend.append(make("li", {}, mark, text));
  }
  const counts = make("dl", { className: "counts" });
  const shownWords = make("p", { className: "sub" });
  place.append(controls, make("div", { className: "raster" }, plot, make("div", {}, legend, counts, shownWords)));
  place.hidden = false;

  const meanings = data.compared
    ? ["no spike", `${own} only${more}`, `${other} only${more}`, "spike in both"]
    : ["no spike", "", "", "spike"];
  let view = null, at = [0, 0], width = 0;

  const decode = (text, steps, neurons) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return (step, neuron) => {
      const entry = step * neurons + neuron;
      return bytes[entry >> 2] >> 2 * (entry & 3) & 3;
    };
  };
  const part = (layer) => layer.shown.length < layer.neurons;
  const spacing = (layer) => {
    if (!layer.differing) return ", evenly spaced";
    const half = layer.shown.length >> 1;
    const all = layer.differing <= half;
    const which = all ? "all that differ on a sample listed" : `the ${number(half)} that differ most, of ${number(layer.differing)} that differ on a sample listed`;
    return ` (${which}; the others evenly spaced)`;
  };
  const draw = () => {
    const layer = data.layers[layerChoice.value], sample = Number(sampleChoice.value);
    const steps = layer.shownSteps, cell = decode(layer.cells[sample], steps, layer.shown.length);
    let rows = layer.shown.map((_, k) => k);
    if (only.checked) {
      rows = rows.filter((k) => {
        for (let t = 0; t < steps; t++) { const c = cell(t, k); if (c === 1 || c === 2) return true; }
        return false;
      });
    }
    width = plot.clientWidth || 300;
    const left = 46, bottom = 34, top = 6;
    const w = Math.max(2, Math.min(130, (width - left - 8) / Math.max(steps, 1)));
    const h = Math.max(2, Math.min(16, Math.floor(520 / Math.max(rows.length, 1))));
    const right = left + w * steps, base = top + h * rows.length;
    const total = Math.max(right + 8, 120), image = svg("svg", { width: total, height: base + bottom, "aria-hidden": "true" });
    const paths = { equal: "", more: "", fewer: "", alone: "" };
    const gap = h >= 5 ? 1 : 0, inner = w >= 6 ? 1 : 0;
    rows.forEach((k, r) => {
      for (let t = 0; t < steps; t++) {
        const code = cell(t, k);
        if (!code) continue;
        const kind = data.compared ? ["", "more", "fewer", "equal"][code] : "alone";
        const high = kind === "equal" || kind === "alone" ? h - gap : (h - gap) / 2;
        const y = top + r * h + (kind === "more" ? (h - gap) / 2 : 0);
        paths[kind] += `M${(left + t * w).toFixed(1)} ${y}h${(w - inner).toFixed(1)}v${high}h${(inner - w).toFixed(1)}z`;
      }
    });
    if (w >= 10) for (let t = 1; t < steps; t++) image.append(svg("line", { x1: left + t * w - 0.5, x2: left + t * w - 0.5, y1: top, y2: base, class: "step" }));
    for (const [kind, d] of Object.entries(paths)) if (d) image.append(svg("path", { d, class: kind }));
    image.append(svg("rect", { x: left - 0.5, y: top - 0.5, width: w * steps, height: h * rows.length, class: "frame" }));
    const text = (x, y, words, anchor) => {
      const element = svg("text", { x, y, class: anchor });
      element.textContent = words;
      image.append(element);
    };
    const every = Math.max(1, Math.ceil(steps / Math.max(1, Math.floor(w * steps / 44))));
    for (let t = 0; t < steps; t += every) text(left + (t + 0.5) * w, base + 14, t, "mid");
    const pace = Math.max(1, Math.ceil(22 / h));
    for (let r = 0; r < rows.length; r += pace) text(left - 6, top + r * h + Math.min(h, 12) / 2 + 4, layer.shown[rows[r]], "end");
    text(left + w * steps / 2, base + 29, "time step", "mid");
    const side = svg("text", { x: 9, y: (top + base) / 2, class: "mid", transform: `rotate(-90 9 ${(top + base) / 2})` });
    side.textContent = "neuron";
    if (rows.length * h > 50) image.append(side);
    const mark = svg("rect", { width: w, height: h, class: "at", visibility: "hidden" });
    image.append(mark);
    plot.replaceChildren(rows.length ? image : make("p", { textContent: part(layer) ? "No neuron that is shown differs on this sample." : "No neuron differs." }));
    view = { layer, rows, steps, cell, left, top, w, h, mark };
    at = [0, 0];

    const c = layer.counts[sample];
    const lines = [[`spikes, ${own}`, c.spikes]];
    if (data.compared) {
      if (c.spikes_float !== null) lines.push([`spikes, ${other}`, c.spikes_float]);
      lines.push(["in both", c.equal], [`more in ${own}`, c.more], [`more in ${other}`, c.fewer]);
    }
    counts.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: number(value) })]));
    if (data.compared) {
      counts.append(make("dt", { textContent: "agreement" }), make("dd", { textContent: `${(100 * (1 - (c.more + c.fewer) / Math.max(c.entries, 1))).toFixed(2)} %` }));
    }
    const parts = [];
    if (part(layer)) parts.push(`${number(layer.shown.length)} of ${number(layer.neurons)} neurons${spacing(layer)}`);
    else parts.push(`${number(layer.neurons)} neurons`);
    parts.push(steps < layer.steps ? `first ${number(steps)} of ${number(layer.steps)} steps` : `${number(steps)} steps`);
    shownWords.textContent = `Shown: ${parts.join(", ")}. The numbers above count all.`;
    plot.setAttribute("aria-label", `Spikes of layer ${layer.name}, ${data.samples[sample]}: ${lines.map(([n, v]) => `${n} ${number(v)}`).join(", ")}. Arrow keys move from entry to entry.`);
  };
  const point = (r, t, x, y) => {
    const { layer, rows, cell, left, top, w, h, mark } = view;
    at = [r, t];
    mark.setAttribute("x", left + t * w);
    mark.setAttribute("y", top + r * h);
    mark.setAttribute("visibility", "visible");
    const box = plot.getBoundingClientRect();
    if (x === undefined) [x, y] = [box.left + left + (t + 1) * w - plot.scrollLeft, box.top + top + (r + 1) * h];
    say(`neuron ${layer.shown[rows[r]]}, step ${t}\n${meanings[cell(t, rows[r])]}`, x, y);
  };
  const leave = () => { if (view) view.mark.setAttribute("visibility", "hidden"); hush(); };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const t = Math.floor((event.clientX - box.left + plot.scrollLeft - view.left) / view.w);
    const r = Math.floor((event.clientY - box.top - view.top) / view.h);
    if (r < 0 || t < 0 || r >= view.rows.length || t >= view.steps) leave();
    else point(r, t, event.clientX, event.clientY);
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !view.rows.length || !view.steps) return;
    event.preventDefault();
    const hidden = view.mark.getAttribute("visibility") === "hidden";
    const within = (value, size) => Math.max(0, Math.min(size - 1, value));
    point(within(at[0] + (hidden ? 0 : move[0]), view.rows.length), within(at[1] + (hidden ? 0 : move[1]), view.steps));
  });
  for (const control of [layerChoice, sampleChoice, only]) control.addEventListener("change", draw);
  new ResizeObserver(() => { if (plot.clientWidth && plot.clientWidth !== width) draw(); }).observe(plot);
  draw();
}
})();
