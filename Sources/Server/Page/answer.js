// An answer as people read it: its chart and table where it is rows, else its values; its log; CSV.

import { chart } from "./charts.js";
import { fill, h } from "./dom.js";
import { cell, number } from "./format.js";
import { answerTable, csv, rowsOf } from "./table.js";

/** Shows one envelope after the other. Charts can be changed where `choices` are given. */
export function answerView(choices) {
	const element = h("div.answer");
	let drawn = null;
	const clear = () => { drawn?.stop(); drawn = null; fill(element); };
	function show(envelope) {
		clear();
		const { result, columns, approximate, job } = envelope, answer = rowsOf(result, columns);
		if (answer) {
			drawn = chart(job, choices ?? {}, choices);
			drawn.update(answer);
		}
		fill(element, drawn?.element, answer ? answerTable("Rows of the answer", answer, approximate).element : plain(result),
			answer && h("a", { href: URL.createObjectURL(new Blob([csv(answer)], { type: "text/csv" })), download: `${job}.csv` }, "Download as CSV"),
			logOf(envelope));
	}
	return { element, clear, show };
}

export const logOf = ({ log, logDropped }) => log && h("details", { open: true }, h("summary", `Log, ${log.length} lines`, logDropped && ` and ${number(logDropped)} more`), h("pre", { tabIndex: 0 }, log.join("\n")));

export function plain(value, name = "Answer") {
	if (`${value ?? ""}` === "") return h("p.value", "nothing");
	if (typeof value !== "object") return h("p.value", cell(value));
	const rows = rowsOf(value);
	if (rows) return answerTable(name, rows).element;
	if (Array.isArray(value)) return h("ol", value.map((one) => h("li", cell(one) || "null")));
	return h("dl", Object.entries(value).map(([part, one]) => [h("dt", part), h("dd", plain(one, part))]));
}
