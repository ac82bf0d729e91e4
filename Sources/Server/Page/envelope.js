// What is said of an answer: how complete it is, who is missing, where the time went. Errors too.

import { isAbort } from "./api.js";
import { fill, h } from "./dom.js";
import { duration, number, percent } from "./format.js";

export const pill = (status, text = status) => h(`span.pill.${status}`, text);

const fact = (name, ...value) => h("span.fact", h("small", name), " ", value);
const of = (part, whole) => [part === whole ? number(part) : h("b.lacking", number(part)), ` of ${number(whole)}`];

/** One line that is always in sight, with who is missing below it. */
export function envelopeBar({ status, job, shards, rows, chunks, ms, truncated, approximate, query }) {
	return h(`div.envelope.${status}`, h("div.facts", pill(status), job && h("strong", job),
		shards && fact("shards", of(shards.answered, shards.asked)), rows && fact("rows", of(rows.scanned, rows.expected)),
		ms && [fact("time", duration(ms.total)), Object.entries(ms.nodes ?? {}).map(([node, one]) => fact(node, duration(one)))],
		chunks && fact("chunks", `${number(chunks.scanned)} read, ${number(chunks.cached)} cached, ${number(chunks.pruned)} ruled out`),
		truncated && pill("partial", truncated === true ? "truncated by a limit" : `truncated: ${number(truncated)} rows left out`),
		approximate && fact("approximate", Object.entries(approximate).map(([name, off]) => `${name} ± ${percent(off)}`).join(", ")), query && fact("query", h("code", query))),
	shards?.failed?.length > 0 && h("ul", shards.failed.map((one) => h("li", h("strong", `${one.node} is missing`), ` (${one.shards} shards): `, h("code", one.reason), ` ${one.message}`))));
}

export function completeness({ status, rows, shards }) {
	const lost = (shards?.failed ?? []).map(({ node }) => node).join(", ");
	return status === "complete" ? status : `${status}: ${percent(rows?.expected > 0 ? rows.scanned / rows.expected : shards?.answered / shards?.asked)}${lost && `, without ${lost}`}`;
}

export const errorBox = ({ reason, message, status, trace, envelope }) => h("div.error-box", { role: "alert" },
	h("div.facts", pill("error", reason), status >= 400 && fact("HTTP", status)), h("p", message), trace && h("pre", { tabIndex: 0 }, trace), envelope && envelopeBar(envelope));

/** Shows what went wrong in a place, but for what was broken off. */
export const shows = (place) => (error) => { if (!isAbort(error)) fill(place, errorBox(error)); };

export function progressBar() {
	const bar = h("progress", { max: 1, "aria-label": "rows scanned" }), text = h("span"), began = performance.now();
	return {
		element: h("div.envelope.running", h("div.facts", pill("running"), bar, text)),
		update(rows) {
			if (rows?.expected > 0) bar.value = rows.scanned / rows.expected;
			fill(text, rows?.expected > 0 && `${number(rows.scanned)} of ${number(rows.expected)} rows, `, duration(performance.now() - began));
		},
	};
}
