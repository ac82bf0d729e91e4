// Draws answers with Chart.js, where the node serves it; small lines and bars need no library.

import { fill, h, select } from "./dom.js";
import { instant, number, short } from "./format.js";
import { pick, series } from "./picks.js";

const src = "/page/chart.js";
let library;

/** Chart.js, where the node has it: a script that is none would be a line on the console. */
const load = () => (library ??= fetch(src).then(({ ok }) => ok && new Promise((resolve) => {
	document.head.append(h("script", { src, onload: () => resolve(window.Chart) }));
})).catch(() => {}));

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** Where it is open, people may change `choices` `{ type, x, y, by }`, in place. */
export function chart(label, choices, isOpen) {
	const canvas = h("canvas", { role: "img" }), box = h("div.canvas", canvas), note = h("p.note"), picks = h("div.row.picks");
	const element = h("div.chart", isOpen && picks, box, note), ended = new AbortController(), { signal } = ended;
	let drawn = null, answer = null;
	const clear = () => { drawn?.destroy(); drawn = null; };
	for (const [target, name] of [[matchMedia("(prefers-color-scheme: dark)"), "change"], [document, "zone"]]) target.addEventListener(name, () => answer && update(answer), { signal });

	async function update(next) {
		answer = next;
		const Chart = await load();
		if (signal.aborted || answer !== next) return;
		const picked = pick(next, choices), { labels, series: all, left } = series(next, picked);
		element.dataset.type = Chart ? picked.type : "none";
		box.hidden = element.dataset.type === "none";
		fill(note, !Chart ? "Without Debian's libjs-chart.js there are tables only." : left > 0 && `${number(left)} of ${number(next.rows.length)} rows are not drawn.`);
		note.hidden = note.textContent === "";
		if (isOpen && Chart) drawPicks(picked);
		if (box.hidden) return;
		canvas.setAttribute("aria-label", `${label}: ${picked.y.join(", ")} by ${[picked.x, picked.by].filter(Boolean).join(" and ")}; the table has the same data`);
		const config = { type: picked.type, data: { labels, datasets: all.map((one, at) => dataset(one, picked, labels, at)) }, options: options(picked, all.length, isOpen) };
		const shape = picked.type + picked.kind;
		if (drawn?.shape !== shape) {
			clear();
			drawn = Object.assign(new Chart(canvas, config), { shape });
		} else {
			Object.assign(drawn, { data: config.data, options: config.options });
			drawn.update("none");
		}
	}

	function drawPicks({ type, x, y, by, options: { x: xs, y: ys, by: bys } }) {
		const set = (name) => (value) => { choices[name] = value; update(answer); };
		const check = (name) => h("label", h("input", { type: "checkbox", checked: y.includes(name), onchange: () => set("y")(y.includes(name) ? y.filter((other) => other !== name) : [...y, name]) }), name);
		fill(picks, select("Kind of chart", [["bar", "Bars"], ["line", "Lines"], ["scatter", "Points"]], type, set("type")), ys.map(check), h("small", "by"), select("Across", xs, x, set("x")),
			bys.length > 1 && [h("small", "and"), select("Apart by", [["", "nothing"], ...bys], by, set("by"))]);
	}

	return { element, update, stop() { ended.abort(); clear(); } };
}

function dataset({ label, points }, { type }, labels, at) {
	const colour = css(`--s${at % 6 + 1}`), values = new Map(points.map(({ x, y }) => [x, y])), isBar = type === "bar";
	return {
		label, data: isBar ? labels.map((x) => values.get(x)) : points, backgroundColor: colour, borderColor: colour, borderWidth: isBar ? 0 : 2, borderDash: at > 5 ? [4, 3] : [],
		maxBarThickness: 40, pointRadius: type === "scatter" ? 3 : points.length > 60 ? 0 : 2,
	};
}

function options({ type, x, y, kind }, count, isLarge) {
	const color = css("--soft"), line = css("--line"), font = { family: css("--font") }, isTime = kind === "time", isLinear = type !== "bar" && kind !== "name";
	const scale = (text, rest, ticks) => ({ title: { display: Boolean(isLarge), text, color, font }, grid: { color: line, borderColor: line }, ...rest, ticks: { color, font, ...ticks } });
	const callback = isTime && (isLinear ? moment : function day(value) { return instant(this.getLabelForValue(value)).slice(0, 10); });
	return {
		animation: false, maintainAspectRatio: false, interaction: { mode: type === "scatter" ? "nearest" : "index", intersect: false },
		scales: {
			x: scale(x, { type: isLinear ? "linear" : "category", bounds: "data", grid: { display: false, borderColor: line }, ...(isTime && isLinear && { afterBuildTicks }) }, { maxTicksLimit: 24, ...(callback && { callback }) }),
			y: scale(y.join(", "), { beginAtZero: type === "bar" }, { maxTicksLimit: 8, callback: short }),
		},
		plugins: {
			legend: { display: count > 1, position: "bottom", labels: { color, font, boxWidth: 10 } },
			tooltip: {
				callbacks: {
					title: ([{ label, parsed }]) => `${x} ${isTime ? instant(isLinear ? parsed.x : Number(label)) : label}`,
					label: ({ dataset: { label }, parsed }) => `${label}: ${number(parsed.y)}`,
				},
			},
		},
	};
}

const steps = [1, 5, 30, 120, 600, 3600, 10_800, 43_200, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];

function afterBuildTicks(scale) {
	const step = 1000 * (steps.find((seconds) => (scale.max - scale.min) / seconds <= 13_000) ?? 157_680_000);
	scale.ticks = [];
	for (let value = Math.ceil(scale.min / step) * step; value <= scale.max; value += step) scale.ticks.push({ value });
}

function moment(value, at, ticks) {
	const step = ticks[1]?.value - ticks[0].value, text = instant(value);
	return step >= 86_400_000 ? text.slice(0, 10) : step >= 60_000 ? text.slice(5, 16) : text.slice(11);
}

export function sparkline(values, label) {
	const least = Math.min(...values), range = Math.max(...values) - least || 1;
	const path = values.map((value, at) => `${at === 0 ? "M" : "L"}${at / Math.max(1, values.length - 1) * 240} ${41 - (value - least) / range * 38}`).join("");
	return h("svg.spark", { viewBox: "0 0 240 44", preserveAspectRatio: "none", role: "img", "aria-label": label }, h("path", { d: path, "vector-effect": "non-scaling-stroke" }));
}

/** Parts of a whole as one bar: `[{ name, value, text }]`. */
export function stack(parts, whole, label) {
	let x = 0;
	return h("svg.stack", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label }, parts.map(({ name, value, text }) => {
		const width = Math.min(100 - x, value / (whole || 1) * 100), rect = h(`rect.${name}`, { x, width, height: 10 }, h("title", text ?? label));
		x += width;
		return rect;
	}));
}
