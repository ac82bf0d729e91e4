// The form made of a job's params: a field for each, by its default's type. Only what differs is sent.

import { field, fill, h } from "./dom.js";

const written = (value) => (Array.isArray(value) ? value.join(", ") : String(value));

/** Texts are what was typed, by name; `draw(defaults)` draws the fields. */
export function paramsForm(change) {
	const element = h("div.params");
	let defaults = {}, typed = {}, drawn;

	function draw(next) {
		if (drawn === JSON.stringify(next)) return;
		drawn = JSON.stringify(next);
		defaults = next;
		fill(element, Object.entries(next).map(([name, value]) => field(name, input(name, value), Array.isArray(value) ? "list: a, b" : typeof value)));
		element.hidden = Object.keys(next).length === 0;
	}

	function input(name, value) {
		const isTruth = typeof value === "boolean", text = typed[name] ?? "";
		return h("input", {
			name, type: isTruth ? "checkbox" : "text", inputMode: typeof value === "number" ? "decimal" : "text", placeholder: written(value), value: text, checked: text ? text === "true" : value === true,
			oninput: ({ target }) => { typed[name] = isTruth ? String(target.checked) : target.value; change(); },
		});
	}

	/** What differs from the defaults: numbers as such where they stay exact, lists from `a, b`. */
	const values = () => Object.fromEntries(Object.entries(typed)
		.filter(([name, text]) => name in defaults && text !== "" && text !== written(defaults[name]))
		.map(([name, text]) => [name, read(text, defaults[name])]));

	return { element, draw, values, texts: () => ({ ...typed }), set(texts) { typed = { ...texts }; drawn = undefined; } };
}

function read(text, value) {
	if (Array.isArray(value)) return text.split(",").map((part) => read(part.trim(), value[0]));
	if (typeof value === "boolean") return text === "true";
	const number = Number(text);
	// What JavaScript would round goes as text, which the node reads; so does what is no number.
	return typeof value !== "number" || text.trim() === "" || Number.isNaN(number) || (Number.isInteger(number) && !Number.isSafeInteger(number)) ? text : number;
}

/** Values as they go into the address of a run: names that are the endpoint's own begin with `param.`. */
export const asWords = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [
	/^(require|timeout|format|ints)$/.test(name) ? `param.${name}` : name, String(value),
]));
