// Query: the defined jobs, an editor for their Lua, a form for their parameters, the answer.

import { answerView, logOf } from "./answer.js";
import { ApiError, at, curl, get, isAbort, run, send } from "./api.js";
import { addTile, requirements } from "./boards.js";
import { button, copy, field, fill, h, remember, select, sideList } from "./dom.js";
import { describe, editor } from "./editor.js";
import { envelopeBar, errorBox, pill, progressBar } from "./envelope.js";
import { store, stored } from "./format.js";
import { asWords, paramsForm } from "./params.js";

const sample = `job.about  = "Flights by carrier"
job.params = { origin = "JFK" }

function map(shard, p)
  return shard:frame("flights"):where("origin", "=", p.origin):group("carrier"):agg { flights = count() }
end

function finish(r) return r:sort("flights", "desc") end
`;

export function mount(root, words) {
	const choices = { y: [] };
	let jobs = [], job = null, running = null, waiting;

	const source = editor("Lua of the job", () => { clearTimeout(waiting); waiting = setTimeout(edited, 150); });
	const form = paramsForm(keep), about = h("p.about"), bar = h("div.sticky", { "aria-live": "polite" });
	const view = answerView(choices), answer = h("div");
	const list = sideList("Jobs", (next) => { clear(); choose(next, {}); }, button("New", fresh));
	const name = h("input", { type: "text", "aria-label": "Name to save it under", placeholder: "name" });
	const must = select("Nodes that must answer", requirements, words.get(".require") ?? "all", keep, "require"), limit = h("input", { type: "number", min: 1, max: 600_000, placeholder: 30_000, value: words.get(".timeout") ?? "", oninput: keep });
	const requirement = () => (must.value === "all" ? undefined : must.value);
	const runs = button(["Run ", h("kbd", "Ctrl Enter")], () => { start(); }, { id: "run" }, ".primary"), cancels = button("Cancel", cancel, { id: "cancel", disabled: true });
	const pins = button("Pin to the board", () => addTile({ kind: "job", name: job.name, words: asTexts(form.values()), require: requirement() ?? "any", ...choices }), { id: "pin", title: "Saved jobs with a map" });

	fill(root, h("h1.offscreen", "Query"), list.element, h("div.work",
		h("section", { "aria-label": "Job" }, h("div.row", about, h("span.spacer"), name, button("Save", save)), source.element, form.element,
			h("div.row", runs, cancels, button("Explain", explain),
				field("nodes that must answer", must), field("timeout", limit, "ms"), button("Copy as curl", () => copy(asCurl())), pins)), h("section", { "aria-label": "Answer" }, bar, answer)));

	const isDefined = () => job !== null && source.value === job.source;

	function choose(next, texts) {
		job = next;
		name.value = next.name;
		form.set(texts);
		source.set(next.source);
		edited();
	}

	function fresh() {
		clear();
		choose({ name: "", source: stored("script") || sample }, {});
		job = null;
		edited();
		source.focus();
	}

	function edited() {
		const told = describe(source.value);
		form.draw((isDefined() && job.params) || told.params);
		fill(about, told.about || "There is no job.about.", " ", !isDefined() && pill("waiting", "not saved"), told.isFree && pill("waiting", "run(p)"));
		pins.disabled = !isDefined() || told.isFree;
		if (!isDefined()) store("script", source.value);
		list.draw(jobs, job?.name);
		keep();
	}

	/** The address says what is asked, of a job that others have as well. */
	function keep() {
		remember("query", { ...(isDefined() && { job: job.name, ...asTexts(form.values()) }), ...(requirement() && { ".require": must.value }), ...(limit.value && { ".timeout": limit.value }) });
	}

	const asked = () => ({
		...(isDefined() ? { job: job.name } : { script: source.value }), params: form.values(), require: requirement(), timeout: Number(limit.value) || undefined,
	});

	function clear() {
		cancel();
		Object.assign(choices, { type: undefined, x: undefined, y: [], by: undefined });
		show();
	}

	function show(head, ...rest) {
		view.clear();
		fill(bar, head);
		fill(answer, rest);
	}

	async function start() {
		cancel();
		const mine = running = new AbortController(), progress = progressBar();
		const wait = setTimeout(() => show(progress.element), 120);
		cancels.disabled = false;
		source.mark();
		try {
			const envelope = await run(asked(), progress.update, mine.signal);
			if (mine !== running) return;
			show(envelopeBar(envelope), view.element);
			view.show(envelope);
		} catch (error) {
			if (mine === running || running === null) failed(isAbort(error) ? new ApiError(0, { reason: "cancelled", message: "The run was cancelled." }) : error);
		} finally {
			clearTimeout(wait);
			if (mine === running || running === null) {
				running = null;
				cancels.disabled = true;
			}
		}
	}

	function cancel() {
		running?.abort();
		running = null;
	}

	function failed(error) {
		const line = /[\w.-]+:(\d+):/.exec(error.message);
		if (line && error.reason === "script_error") source.mark(Number(line[1]));
		show(error.envelope && envelopeBar(error.envelope), errorBox({ ...error, message: error.message, envelope: null }), logOf(error.envelope ?? {}));
	}

	async function explain() {
		try {
			const { text, ...plan } = await send("POST", "/v1/explain", asked());
			show(h("div.envelope", h("div.facts", pill("waiting", "explained"), "nothing was read")), h("pre", { tabIndex: 0 }, text ?? JSON.stringify(plan, null, 2)));
		} catch (error) { failed(error); }
	}

	const asCurl = () => (isDefined() && !describe(source.value).isFree
		? curl(at`/v1/jobs/${job.name}/run`, { ...asWords(form.values()), require: requirement(), timeout: limit.value }) : curl("/v1/runs", { wait: "30s" }, asked()));

	async function save() {
		const saved = name.value.trim();
		if (!saved) { name.focus(); return "It needs a name"; }
		try {
			await send("PUT", at`/v1/jobs/${saved}`, source.value);
			({ jobs } = await get("/v1/jobs"));
		} catch (error) { failed(error); return "Not saved"; }
		choose(jobs.find((one) => one.name === saved), form.texts());
		return "Saved";
	}

	function keys(event) {
		if ((event.ctrlKey || event.metaKey) && event.key === "Enter") start();
		if (event.key === "Escape") cancel();
	}
	document.addEventListener("keydown", keys);

	get("/v1/jobs").then((all) => {
		({ jobs } = all);
		const wanted = words.get("job"), named = jobs.find((one) => one.name === wanted);
		if (wanted && !named) failed(new ApiError(404, { reason: "miss", message: `There is no job '${wanted}' any more.` }));
		if (jobs.length === 0) return void fresh();
		choose(named ?? jobs[0], Object.fromEntries([...words].filter(([key]) => key !== "job" && !key.startsWith("."))));
		// What a link runs only reads; a run(p), which may do anything, waits for its reader.
		if (named && !describe(named.source).isFree) start();
	}).catch(failed);

	return () => {
		document.removeEventListener("keydown", keys);
		clearTimeout(waiting);
		cancel();
		view.clear();
	};
}

const asTexts = (values) => Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]));
