// Frames: the tables that there are, their columns, what values they have, and their first rows.

import { at, get, key } from "./api.js";
import { fill, h, remember } from "./dom.js";
import { errorBox, shows } from "./envelope.js";
import { bytes, cell, number } from "./format.js";
import { answerTable, int, table, text } from "./table.js";

export function mount(root, words) {
	let frames = [], chosen = words.get("name");
	const ended = new AbortController(), { signal } = ended, state = h("div"), detail = h("div.work");
	const list = table("Frames", [
		text("name", "frame", (name, frame) => h("button.link", { type: "button", "aria-current": name === chosen && "true", onclick: () => choose(frame) }, name)),
		int("rows"), int("columns", "columns", number, ({ columns }) => columns.length), int("chunks"), int("rawBytes", "as text", bytes), int("storedBytes", "in memory", bytes),
		text("nodes", "rows by node", (_, { nodes }) => Object.entries(nodes ?? {}).map(([node, { rows }]) => h("span.top", h("b", node), ` ${number(rows)}`))),
	], null, "There are no frames yet. Load one: cacheismo load NAME FILE");

	function choose({ name, columns }) {
		chosen = name;
		remember("frames", { name });
		list.update(frames);
		const schema = h("div", columnTable(columns)), note = h("div.note", "Asking."), head = h("div.note", "Asking.");
		fill(detail, h("section", { "aria-label": "Columns" }, h("h2", `Columns of ${name}`), schema, note), h("section", { "aria-label": "First rows" }, h("h2", "First rows"), head));
		key(`frame:describe:${name}`, signal).then((told) => { fill(schema, columnTable(told)); note.remove(); }).catch(shows(note));
		get(at`/v1/frames/${name}/head`, { limit: 50 }, signal).then((answer) => head.replaceWith(answerTable(`First rows of ${name}`, answer).element)).catch(shows(head));
	}

	fill(root, h("h1", "Frames"), h("p.about", "Tables of rows, spread over all nodes."), state, list.element, detail);
	get("/v1/frames", {}, signal).then((answer) => {
		({ frames } = answer);
		list.update(frames);
		const frame = frames.find(({ name }) => name === chosen);
		if (chosen && !frame) fill(state, errorBox({ reason: "miss", message: `There is no frame '${chosen}'.` }));
		else if (frames.length > 0) choose(frame ?? frames[0]);
	}).catch(shows(state));
	return () => ended.abort();
}

function columnTable(columns) {
	const typed = (value, { type, name }) => cell(value, type, name);
	const frequent = (_, column) => (column.top ?? []).slice(0, 3).map(({ value, count }) => h("span.top", h("code", typed(value, column) || "null"), ` ${number(count)}`));
	return table("Columns", [text("name", "column"), text("type"), ...(columns.some((column) => "distinct" in column) ? [
		int("nulls"), int("distinct", "different"), text("min", "least", typed), text("max", "greatest", typed), text("top", "most frequent", frequent, ({ top }) => top?.[0]?.count),
	] : [])], columns).element;
}
