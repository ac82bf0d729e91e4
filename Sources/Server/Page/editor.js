// A field for Lua with colours and line numbers, and what a job's source says of itself.

import { fill, h } from "./dom.js";

const keywords = /^(and|break|do|else|elseif|end|false|for|function|goto|if|in|local|nil|not|or|repeat|return|then|true|until|while)$/;
const pattern = /(?<comment>--\[\[[\s\S]*?(?:\]\]|$)|--.*)|(?<string>\[\[[\s\S]*?(?:\]\]|$)|"(?:\\[\s\S]|[^"\\\n])*"?|'(?:\\[\s\S]|[^'\\\n])*'?)|(?<number>0[xX][\da-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?<name>[A-Za-z_]\w*)|(?<space>\s+)|[^\s\w]/g;

/** `{ kind, text }`; the texts together are the source. */
const tokens = (source) => [...source.matchAll(pattern)].map(({ 0: text, groups }) => ({ kind: keywords.test(text) ? "keyword" : Object.keys(groups).find((name) => groups[name] !== undefined), text }));

/** A job's about, those of its params that are plain values, and whether it is free: has a run(p). */
export function describe(source) {
	const words = tokens(source).filter(({ kind }) => kind !== "comment" && kind !== "space"), found = { about: "", params: {}, isFree: false };
	words.forEach((word, at) => {
		const begins = (...texts) => texts.every((text, offset) => words[at + offset]?.text === text);
		if (begins("function", "run", "(")) found.isFree = true;
		if (begins("job", ".", "about", "=")) found.about = literal(words[at + 4]) ?? "";
		if (begins("job", ".", "params", "=", "{")) found.params = fields(words.slice(at + 5));
	});
	return found;
}

function fields(words) {
	const found = {};
	let depth = 0, name;
	for (const [at, word] of words.entries()) {
		if (word.text === "}" && depth === 0) break;
		if (depth === 0 && word.text === "=") name = words[at - 1].text;
		depth += { "{": 1, "}": -1 }[word.text] ?? 0;
		if (word.text === "{" && depth === 1) found[name] = [];
		const isNegative = words[at - 1]?.text === "-", value = literal(word, isNegative);
		if (value === undefined) continue;
		if (depth === 1) found[name]?.push(value);
		else if (words[at - (isNegative ? 2 : 1)]?.text === "=") found[name] = value;
	}
	return found;
}

function literal({ kind, text } = {}, isNegative) {
	if (kind === "number") return isNegative ? -text : Number(text);
	if (kind === "string") return text.startsWith("[") ? text.slice(2, -2) : text.slice(1, -1).replace(/\\(.)/g, "$1");
	return { true: true, false: false }[text];
}

/** A textarea that can be seen through, above its text in colours. */
export function editor(label, change) {
	const numbers = h("div.numbers", { "aria-hidden": "true" }), colours = h("pre.colours", { "aria-hidden": "true" });
	const area = h("textarea", { "aria-label": label, spellcheck: false, wrap: "off", onscroll: follow, oninput: () => { draw(); change(); } });

	function draw(marked) {
		fill(colours, tokens(area.value).map(({ kind, text }) => (/comment|string|number|keyword/.test(kind) ? h(`span.${kind}`, text) : text)), "\n");
		fill(numbers, area.value.split("\n").map((_, at) => h(at + 1 === marked ? "div.wrong" : "div", at + 1)));
		follow();
	}

	function follow() {
		colours.scrollTop = numbers.scrollTop = area.scrollTop;
		colours.scrollLeft = area.scrollLeft;
	}

	return {
		element: h("div.editor", numbers, h("div.text", colours, area)), mark: draw, focus: () => area.focus(),
		get value() { return area.value; },
		set(text) { area.value = text; draw(); },
	};
}
