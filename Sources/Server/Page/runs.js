// Runs: the jobs of all nodes, under way and just over; to look at, or cancel.

import { answerView, logOf } from "./answer.js";
import { at, get, poll, send } from "./api.js";
import { button, fill, h, remember } from "./dom.js";
import { envelopeBar, errorBox, pill, shows } from "./envelope.js";
import { duration, number } from "./format.js";
import { double, int, table, text } from "./table.js";

export function mount(root, words) {
	let all = [], chosen = words.get("id"), shown = null;
	const state = h("div"), bar = h("div.sticky", { "aria-live": "polite" }), view = answerView();
	const isOver = (run) => run.state === "done", written = ({ params }) => Object.entries(params ?? {}).map((pair) => pair.join("=")).join(" ");
	const list = table("Runs of all nodes", [
		text("id", "run", (id) => h("button.link", { type: "button", "aria-current": id === chosen && "true", onclick: () => look(id) }, id)),
		text("status", "status", (value) => pill(value), (run) => (isOver(run) ? run.status : "running")), text("job"), text("params", "parameters", (value) => h("code", value), written), text("node"),
		{ ...text("started"), type: "time" }, double("ms", "took", duration), int("rows", "rows", progress, ({ rows }) => rows?.scanned),
		text("end", "cancel", (id, run) => !isOver(run) && button("Cancel", () => send("DELETE", at`/v1/runs/${id}`).then(() => "Cancelled", ({ message }) => message), { "aria-label": `Cancel ${id}` }), ({ id }) => id),
	]);

	function progress(scanned, run) {
		if (!run.rows?.expected) return "–";
		return [!isOver(run) && h("progress", { max: run.rows.expected, value: scanned, "aria-label": `rows scanned by ${run.id}` }), ` ${number(scanned)} of ${number(run.rows.expected)}`];
	}

	function look(id) {
		chosen = id;
		remember("runs", { id });
		list.update(all);
		showChosen().catch(shows(bar));
	}

	/** What is over stays as it is; what is under way is asked for again. */
	async function showChosen(signal) {
		const id = chosen;
		if (!id || shown === id) return;
		const { state: now, job, rows, ms, envelope } = await get(at`/v1/runs/${id}`, {}, signal);
		if (id !== chosen) return;
		shown = now === "done" ? id : null;
		view.clear();
		fill(bar, envelopeBar(envelope ?? { status: "running", job, rows, ms: { total: ms }, query: id }), envelope?.error && [errorBox({ ...envelope.error, trace: envelope.error.stack?.join("\n") }), logOf(envelope)]);
		if (envelope && !envelope.error) view.show(envelope);
	}

	fill(root, h("h1", "Runs"), h("p.about", "Jobs of all nodes, under way or of the last ten minutes."), state, list.element, h("section", { "aria-label": "Run" }, bar, view.element));
	const stop = poll(async (signal) => {
		try {
			all = (await get("/v1/runs", {}, signal)).runs;
			fill(state);
			// Whoever is at a button of the table is not to lose it.
			if (!list.element.querySelector("tbody").contains(document.activeElement)) list.update(all);
		} catch (error) { shows(state)(error); }
		await showChosen(signal).catch(shows(bar));
	}, 1000);
	return () => { stop(); view.clear(); };
}
