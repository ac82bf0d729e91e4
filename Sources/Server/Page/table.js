// Tables that sort by any column, by keyboard too, and the rows of answers as CSV.

import { fill, h, stamp } from "./dom.js";
import { cell, epoch, isMissing, number, numeric, percent } from "./format.js";

const isNumber = ({ type }) => type === "int" || type === "double";

/** A column shows `render(value, row)`, and is sorted by `value(row)`, the field of its name unless given. */
export const text = (name, label = name, render, value = (row) => row[name]) => ({ name, label, render, value });
export const int = (...column) => ({ ...text(...column), type: "int" });
export const double = (...column) => ({ ...text(...column), type: "double" });

/** A table over rows that are objects, once they are there: `{ element, update(rows) }`. A chosen order stays. */
export function table(label, columns, rows, empty = "None.") {
	let shown = 200, all = rows ?? [], order = null;
	const head = h("thead"), body = h("tbody"), more = h("p.note");
	// Numbers begin with the greatest; a third press gives the rows as they came.
	function choose(column, at) {
		const first = isNumber(column) ? -1 : 1;
		order = order?.column !== column ? { column, sign: first } : order.sign === first ? { column, sign: -first } : null;
		fill(head, h("tr", columns.map(header)));
		draw();
		head.querySelectorAll("button")[at].focus();
	}

	function header(column, at) {
		const sign = order?.column === column ? order.sign : 0;
		return h(isNumber(column) ? "th.number" : "th", { scope: "col", "aria-sort": ["descending", "none", "ascending"][sign + 1] },
			h("button", { type: "button", title: column.type ?? "", onclick: () => choose(column, at) }, column.label, column.note && h("small", " ", column.note), h("span.arrow", { "aria-hidden": "true" }, ["▼", "", "▲"][sign + 1])));
	}

	function sorted() {
		if (!order) return all;
		const { column: { type, value }, sign } = order, worth = type === "time" ? epoch : rank;
		// What is missing is last in both orders. Texts are of equal worth, and whole numbers that are one double.
		const compare = (x, y) => sign * (worth(x) - worth(y) || (written(x) > written(y)) - (written(x) < written(y)));
		return all.map((row) => [value(row), row]).sort(([x], [y]) => (isMissing(x) || isMissing(y) ? isMissing(x) - isMissing(y) : compare(x, y))).map(([, row]) => row);
	}

	function data(column, row, at) {
		const { render, name, type } = column, value = column.value(row), isNull = !render && isMissing(value);
		const content = isNull ? "null" : render ? render(value, row) : type === "time" ? stamp(value) : cell(value, type, name);
		return h((at === 0 ? "th" : "td") + (isNull ? ".null" : isNumber(column) ? ".number" : content?.length > 60 ? ".wide" : ""), at === 0 && { scope: "row" }, content);
	}

	function draw() {
		fill(body, sorted().slice(0, shown).map((row) => h(row.isGone ? "tr.gone" : "tr", columns.map((column, at) => data(column, row, at)))),
			all.length === 0 && h("tr", h("td.empty", { colSpan: columns.length }, rows ? empty : "Asking.")));
		more.hidden = all.length <= shown;
		fill(more, `${number(shown)} of ${number(all.length)} rows. `, h("button", { type: "button", onclick: () => { shown += 2000; draw(); } }, "Show more"));
	}

	fill(head, h("tr", columns.map(header)));
	draw();
	return {
		element: h("div.table", h("div.scroll", { tabIndex: 0, role: "region", "aria-label": label }, h("table", head, body)), more),
		update(next) { rows = all = next; draw(); },
	};
}

const written = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

// NaN is above every number, as in the engine; an infinity less itself would be none.
const rank = (value) => (Number.isNaN(numeric(value)) ? 1.1e308 : Math.max(-1e308, Math.min(1e308, numeric(value))));

/** An answer's `{ columns, rows }`, the columns told from the values if need be; null where it is none. */
export function rowsOf(result, columns) {
	if (!Array.isArray(result) || !(result.length > 0 || columns?.length > 0) || result.some((row) => row?.constructor !== Object)) return null;
	return { columns: columns?.length > 0 ? columns : told(result), rows: result };
}

function told(rows) {
	return [...new Set(rows.flatMap(Object.keys))].map((name) => {
		const values = rows.map((row) => row[name]).filter((value) => !isMissing(value));
		const tests = { int: Number.isInteger, double: (value) => typeof value === "number", bool: (value) => typeof value === "boolean", json: (value) => typeof value === "object" };
		return { name, type: Object.keys(tests).find((type) => values.length > 0 && values.every(tests[type])) ?? "string" };
	});
}

export const answerTable = (label, { columns, rows }, approximate = {}) => table(label, columns.map(({ name, type }) => ({ ...text(name), type, note: name in approximate && `± ${percent(approximate[name])}` })), rows, "No rows.");

/** RFC 4180; a null is an empty field. */
export function csv({ columns, rows }) {
	const quote = (value) => (isMissing(value) ? "" : /^$|[",\r\n]/.test(written(value)) ? `"${written(value).replaceAll("\"", "\"\"")}"` : written(value));
	const names = columns.map(({ name }) => name);
	return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => `${line.map(quote).join(",")}\r\n`).join("");
}
