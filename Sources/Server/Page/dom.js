// Builds elements: text goes in as text, never as markup, and nothing sets a style attribute.

import { time } from "./format.js";

const isThere = (child) => child !== null && child !== undefined && child !== false;

/** `h("p.note", { title }, …children)`; null, undefined and false are left out. */
export function h(name, ...children) {
	const [tag, ...classes] = name.split("."), isSvg = /^(svg|path|rect|title)$/.test(tag);
	const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
	if (classes.length > 0) element.setAttribute("class", classes.join(" "));
	for (const [key, value] of Object.entries(children[0]?.constructor === Object ? children.shift() : {}).filter((pair) => isThere(pair[1]))) {
		if (isSvg || !(key in element)) element.setAttribute(key, value);
		else element[key] = value;
	}
	return fill(element, children);
}

export function fill(element, ...children) {
	element.replaceChildren(...children.flat(Infinity).filter(isThere));
	return element;
}

/** A button; `act` may return a text, or a promise of one, that it bears for a moment. */
export function button(label, act, properties, name = "") {
	const element = h(`button${name}`, { type: "button", onclick: press, ...properties }, label);
	async function press() {
		const said = await act();
		if (typeof said !== "string") return;
		fill(element, said);
		setTimeout(() => fill(element, label), 2000);
	}
	return element;
}

export const select = (label, options, value, change, id) => h("select", { "aria-label": label, id, onchange: ({ target }) => change(target.value) },
	options.map((option) => [option].flat()).map(([key, text = key]) => h("option", { value: key, selected: key === value }, text)));

export const field = (label, control, hint) => h("label.field", h("span", label, hint && ` · ${hint}`), control);

/** A list to choose from, with its filter: `{ element, draw(items, chosen) }`, of `{ name, about }`. */
export function sideList(title, choose, ...extra) {
	let items = [], chosen;
	const list = h("ul.list"), label = `Filter ${title.toLowerCase()}`, filter = h("input", { type: "search", "aria-label": label, placeholder: `${label}  ( / )`, oninput: draw });
	function draw() {
		const found = items.filter(({ name, about = "" }) => `${name} ${about}`.toLowerCase().includes(filter.value.toLowerCase()));
		fill(list, found.map((one) => h("li", h("button", { type: "button", "aria-current": one.name === chosen && "true", onclick: () => choose(one) }, h("b", one.name), h("span", one.about)))),
			found.length === 0 && h("li.empty", "None."));
	}
	return { element: h("aside", { "aria-label": title }, h("div.row", h("h2", title), extra), filter, list), draw(next, current) { items = next; chosen = current; draw(); } };
}

export const stamp = (text) => h("time", { dateTime: text }, time(text));
document.addEventListener("zone", () => { for (const element of document.querySelectorAll("time")) fill(element, time(element.dateTime)); });

/** Where the browser lets no script do that (neither https nor localhost), it shows the text. */
export async function copy(text) {
	try { await navigator.clipboard.writeText(text); } catch { prompt("Copy this:", text); }
	return "Copied";
}

export const remember = (view, words) => history.replaceState(null, "", `#/${view}?${new URLSearchParams(words)}`);
