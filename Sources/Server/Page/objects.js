// Objects: the types, their methods, indexes, and a way to call them.

import { plain } from "./answer.js";
import { key, send } from "./api.js";
import { addTile } from "./boards.js";
import { button, field, fill, h, remember, sideList } from "./dom.js";
import { pill, shows } from "./envelope.js";
import { double, table, text } from "./table.js";

const pin = (name) => button("Pin to the board", () => addTile({ kind: "key", name: name() }));

export function mount(root, words) {
	let types = [], chosen = words.get("type");
	const ended = new AbortController(), { signal } = ended, detail = h("div.work"), list = sideList("Types", ({ name }) => choose(name));

	function choose(name) {
		chosen = name;
		remember("objects", { type: name });
		list.draw(types, name);
		key(`object:describe:${name}`, signal).then((type) => { if (chosen === name) show(type); }).catch(shows(detail));
	}

	function show({ type, about, file, pinned, indexes = [], methods = [] }) {
		const form = callForm(methods, signal);
		fill(detail, h("section", h("h2", type), h("p.about", about, " ", h("code", file), " ", pinned && pill("waiting", "pinned: never evicted"))), form.element,
			h("section", { "aria-label": "Methods" }, h("h3", "Methods"), table(`Methods of ${type}`, [
				text("name", "method", (name, method) => h("button.link", { type: "button", onclick: () => form.choose(method) }, name)),
				text("about", "what it does"), text("form", "key", (form) => h("code", form)), text("readonly", "kind", (isReadonly) => (isReadonly ? "reads" : "writes")),
			], methods).element), indexes.map((index) => top(index, signal)));
	}

	fill(root, h("h1.offscreen", "Objects"), list.element, detail);
	key("object:list", signal).then((names) => {
		types = names.map((name) => ({ name }));
		choose([chosen, "quota", names[0]].find((name) => names.includes(name)));
	}).catch(shows(detail));
	return () => ended.abort();
}

/** An index, which the node keeps in order: nothing is walked over for it. */
function top(index, signal) {
	const name = `index:top:${index}:20`, content = h("div.note", "Asking.");
	key(name, signal).then((objects) => content.replaceWith(table(name, [text("object"), double("value")], objects).element)).catch(shows(content));
	return h("section", { "aria-label": `Index ${index}` }, h("div.row", h("h3", "Index ", h("code", index)), pin(() => name)), content);
}

/** A key to complete and call; a colon within a part is %3A. */
function callForm(methods, signal) {
	const name = h("input.key-field", { type: "text", name: "key", spellcheck: false }), hint = h("span"), more = h("span"), result = h("div", { "aria-live": "polite" });
	const call = () => { const [type, method, object = "", ...args] = name.value.split(":").map(decodeURIComponent); return { type, method, object, args }; };

	function choose({ form, readonly }) {
		name.value = form.split(/NAME/)[0];
		fill(hint, form);
		fill(more, readonly && pin(() => name.value));
		fill(result);
	}

	async function submit(event) {
		event.preventDefault();
		try { fill(result, plain((await send("POST", "/v1/call", call(), signal)).value)); } catch (error) { shows(result)(error); }
	}

	if (methods.length > 0) choose(methods.find(({ readonly }) => readonly) ?? methods[0]);
	return {
		element: h("section", { "aria-label": "Call a method" }, h("form.row", { onsubmit: submit }, field(hint, name), h("button.primary", "Call"), more), result),
		choose(method) { choose(method); name.focus(); },
	};
}
