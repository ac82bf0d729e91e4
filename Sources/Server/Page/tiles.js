// A tile of a board asks again and again, and says how old and how complete its answer is.

import { plain } from "./answer.js";
import { at, getChanged, isAbort, key, poll } from "./api.js";
import { chart, sparkline } from "./charts.js";
import { fill, h } from "./dom.js";
import { completeness, pill } from "./envelope.js";
import { duration, number } from "./format.js";
import { asWords } from "./params.js";
import { answerTable, rowsOf } from "./table.js";

export const titleOf = ({ title, name, words = {} }) => title || [name, ...Object.entries(words).map((pair) => pair.join("="))].join(" ");

export function tileView(tile, menu) {
	const { kind, name, words = {}, require } = tile, title = titleOf(tile);
	const body = h("div"), alert = h("p.alert", { "aria-live": "polite" }), badge = h("span"), age = h("b"), foot = h("footer", age);
	const element = h("article.tile", { "aria-label": title }, h("header", h("h2", title), badge, menu), alert, body, foot);
	let etag = null, answeredAt = null, note = "", drawn = null, listed = null, details, shape = null, past = [];

	async function turn(signal) {
		try {
			if (kind === "job") await askJob(signal);
			else { show(await key(name, signal)); told("complete", "complete"); }
			answeredAt = Date.now();
			fill(alert);
		} catch (error) {
			if (isAbort(error)) throw error;
			// The last answer stays, with its age: it is no longer what the node says.
			etag = null;
			note = "";
			told("error", error.reason);
			fill(alert, error.message);
		}
		tick();
	}

	function told(status, text) {
		element.dataset.status = status;
		fill(badge, pill(status, text));
	}

	async function askJob(signal) {
		const answer = await getChanged(at`/v1/jobs/${name}/run`, { ...asWords(words), require: require === "all" ? "" : require }, etag, signal);
		note = answer ? "" : ", unchanged";
		if (!answer) return;
		const { result, columns, approximate, status, shards, ms } = answer.value;
		({ etag } = answer);
		show(result, columns, approximate);
		told(status, completeness(answer.value));
		fill(foot, age, duration(ms?.total), shards?.failed?.map((one) => h("span.lacking", `${one.node} is missing: ${one.reason}`)));
	}

	function show(value, columns, approximate) {
		const rows = rowsOf(value, columns), isText = typeof value === "string";
		if (typeof value === "number" || (isText && /^-?\d+(\.\d+)?$/.test(value))) {
			become("number");
			past = [...past, Number(value)].slice(-120);
			fill(body, h("p.figure", number(value)), sparkline(past, `${title}: the last ${past.length} values`));
		} else if (!rows) {
			become("plain");
			fill(body, isText && value.length < 24 ? h("p.figure", value) : plain(value));
		} else if (become(`rows ${JSON.stringify(rows.columns)}`)) {
			listed = answerTable(`Rows of ${title}`, rows, approximate);
			drawn = tile.type === "none" ? null : chart(title, tile);
			details = h("details", { open: !drawn }, h("summary", "Table"), listed.element);
			fill(body, drawn?.element, details);
		} else listed.update(rows.rows);
		drawn?.update(rows).then(() => { details.open ||= drawn?.element.dataset.type === "none"; });
	}

	function become(next) {
		if (shape === next) return false;
		drawn?.stop();
		drawn = null;
		past = [];
		shape = next;
		return true;
	}

	function tick() {
		const old = answeredAt === null ? Infinity : Date.now() - answeredAt;
		element.classList.toggle("stale", old > 3000);
		fill(age, old < 1500 ? "now" : answeredAt === null ? "no answer yet" : `${duration(old)} old`, note);
	}

	const ended = poll(turn, 1000);
	return { element, tick, stop() { ended(); drawn?.stop(); } };
}
