// Which chart suits an answer, told from its columns' types and its rows' order, and what it draws.

import { epoch, isMissing, numeric } from "./format.js";

const pointsMax = 5000, barsMax = 60, seriesMax = 12;
const calendar = /(^|_)(year|quarter|month|week|weekday|day|hour|minute|step|period|size)$/i;

/** An ordinal is a whole number that names a part of a calendar. */
function kindOf({ name, type }, rows) {
	if (type === "int" || type === "double") return calendar.test(name) ? "ordinal" : "number";
	if (type === "time" || (type === "string" && rows.some((row) => row[name]) && rows.every((row) => isMissing(row[name]) || !Number.isNaN(epoch(row[name]))))) return "time";
	return type === "string" || type === "bool" ? "name" : "json";
}

/** `{ type: "line", "bar", "scatter" or "none", x, y: [names], by, kind, options }`; `choices` come first. */
export function pick({ columns, rows }, choices = {}) {
	const kinds = Object.fromEntries(columns.map((column) => [column.name, kindOf(column, rows)]));
	const of = (...wanted) => Object.keys(kinds).filter((name) => wanted.includes(kinds[name]));
	const options = { x: of("time", "ordinal", "name", "number"), y: of("number", "ordinal"), by: of("name", "ordinal") };
	const x = options.x.includes(choices.x) ? choices.x : [...of("time"), ...of("ordinal", "name"), ...options.x][0];
	const chosen = (choices.y ?? []).filter((name) => options.y.includes(name)), values = of("number").filter((name) => name !== x);
	const y = chosen.length > 0 || values.length === 0 ? chosen : [liveliest(values, columns, rows)];
	const by = options.by.includes(choices.by) || choices.by === "" ? choices.by : splitter(options.by.filter((name) => name !== x), x, rows);
	const isLong = kinds[x] === "time" ? rows.length > 1 : kinds[x] === "ordinal" && new Set(rows.map((row) => row[x])).size > 12;
	const type = y.length === 0 || rows.length === 0 ? "none" : choices.type ?? (isLong ? "line" : kinds[x] === "number" ? "scatter" : "bar");
	return { type, x, y, by, kind: kinds[x], options };
}

/** What the rows are sorted by is what they are about; else the first with fractions: no mere count. */
function liveliest(names, columns, rows) {
	const goes = (name, sign) => rows.every((row, at) => at === 0 || sign * (numeric(row[name]) - numeric(rows[at - 1][name])) >= 0);
	const sorted = rows.length > 2 && names.find((name) => goes(name, 1) !== goes(name, -1));
	return sorted || names.find((name) => columns.some((column) => column.name === name && column.type === "double")) || names[0];
}

function splitter(names, x, rows) {
	const different = (...of) => new Set(rows.map((row) => JSON.stringify(of.map((name) => row[name])))).size;
	if (different(x) === rows.length) return "";
	return names.find((name) => different(name) <= seriesMax && different(x, name) === rows.length) ?? "";
}

/** `left`: rows that are not drawn, as there are too many. */
export function series({ rows }, { type, x, y, by, kind }) {
	const hasOrder = kind !== "name";
	const place = (row) => (kind === "time" ? epoch(row[x]) : hasOrder && type !== "bar" ? numeric(row[x]) : String(row[x] ?? "null"));
	const all = [...new Set(rows.map(place))];
	if (hasOrder) all.sort((a, b) => numeric(a) - numeric(b));
	const labels = all.slice(0, type === "bar" ? barsMax : pointsMax), kept = new Set(labels), groups = new Map();
	let left = 0;
	for (const row of rows) {
		let isLeft = !kept.has(place(row));
		for (const name of isLeft ? [] : y) {
			const label = [by && String(row[by] ?? "null"), (y.length > 1 || !by) && name].filter(Boolean).join(" "), value = numeric(row[name]);
			if (groups.size >= seriesMax && !groups.has(label)) isLeft = true;
			else if (groups.set(label, groups.get(label) ?? [])) groups.get(label).push({ x: place(row), y: Number.isFinite(value) ? value : null });
		}
		if (isLeft) left += 1;
	}
	if (hasOrder) for (const points of groups.values()) points.sort((a, b) => numeric(a.x) - numeric(b.x));
	return { labels, series: [...groups].map(([label, points]) => ({ label, points })), left };
}
