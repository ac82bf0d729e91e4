// Asks the page's own node: requests, errors as they are, long runs, polling, and the same as curl.

/** What came in place of an answer. `status` is 0 where nothing came at all. */
export class ApiError extends Error {
	constructor(status, { reason, message, stack }, envelope) {
		super(message);
		Object.assign(this, { status, reason, trace: [stack ?? []].flat().join("\n"), envelope });
	}
}

export const isAbort = (error) => error.name === "AbortError";

/** A path whose parts may bear any name: at`/v1/jobs/${name}/run`. */
export const at = (parts, ...names) => String.raw({ raw: parts }, ...names.map(encodeURIComponent));

function url(path, query = {}) {
	const words = new URLSearchParams(Object.entries(query).filter((pair) => pair[1])).toString();
	return words ? `${path}?${words}` : path;
}

const tell = (answers) => document.dispatchEvent(new CustomEvent("node", { detail: answers }));

async function request(path, query, { signal, ...options }) {
	try {
		// Longer than any answer takes.
		const either = AbortSignal.any([AbortSignal.timeout(40_000), ...(signal ? [signal] : [])]);
		const response = await fetch(url(path, { ...query, ints: "string" }), { cache: "no-store", signal: either, ...options });
		tell(true);
		return response;
	} catch (error) {
		if (isAbort(error)) throw error;
		tell(false);
		throw new ApiError(0, { reason: "unreachable", message: "This node does not answer." });
	}
}

async function read(response) {
	const text = await response.text();
	let value;
	try { value = text ? JSON.parse(text) : null; } catch { /* Then its text is the message. */ }
	if (response.ok && value !== undefined) return value;
	throw new ApiError(response.status, value?.error ?? { reason: "http", message: text.slice(0, 300) || `HTTP ${response.status}` }, value?.status && value);
}

export const get = async (path, query, signal) => read(await request(path, query, { signal }));

/** `{ value, etag }`, or null where nothing has changed since `etag`. */
export async function getChanged(path, query, etag, signal) {
	const response = await request(path, query, { signal, headers: etag ? { "If-None-Match": etag } : {} });
	return response.status === 304 ? null : { value: await read(response), etag: response.headers.get("ETag") };
}

function writing(method, content, signal) {
	const isLua = typeof content === "string";
	return { method, signal, body: isLua ? content : JSON.stringify(content), headers: content === undefined ? {} : { "Content-Type": isLua ? "application/x-lua" : "application/json" } };
}

export const send = async (method, path, content, signal) => read(await request(path, {}, writing(method, content, signal)));

/** What one virtual key answers; throws its error, and a miss as one. */
export async function key(name, signal) {
	const answer = (await get("/v1/get", { key: name }, signal))[name];
	if (answer && !answer.error) return answer.value;
	throw new ApiError(200, answer?.error ?? { reason: "miss", message: `${name}: there is nothing under this key.` });
}

/** To the run's envelope. `progress` is told its rows; aborting cancels it on the cluster. */
export async function run(what, progress, signal) {
	const response = await request("/v1/runs", { wait: "300ms" }, writing("POST", what, signal));
	if (response.status !== 202) return read(response);
	const path = at`/v1/runs/${response.headers.get("Location").split("/").pop()}`, cancel = () => { send("DELETE", path).catch(() => {}); };
	signal.addEventListener("abort", cancel);
	const envelope = await follow(path, progress, signal).finally(() => signal.removeEventListener("abort", cancel));
	if (envelope.status === "error") throw new ApiError(200, envelope.error, envelope);
	return envelope;
}

/** Server-sent events begin again by themselves; what they missed is asked for. */
function follow(path, progress, signal) {
	let events;
	return new Promise((resolve, reject) => {
		events = new EventSource(url(`${path}/events`, { ints: "string" }));
		events.addEventListener("progress", ({ data }) => progress(JSON.parse(data).rows));
		events.addEventListener("done", ({ data }) => resolve(JSON.parse(data)));
		events.addEventListener("error", () => { get(path, {}, signal).then(({ envelope }) => envelope && resolve(envelope), reject); });
		signal.addEventListener("abort", () => reject(signal.reason));
	}).finally(() => events.close());
}

/** Calls `turn(signal)` each `ms`, never twice at once, not while the tab is hidden. Returns how to stop. */
export function poll(turn, ms) {
	let timer, isAsking = false;
	const controller = new AbortController(), { signal } = controller;
	async function now() {
		clearTimeout(timer);
		if (isAsking || signal.aborted || document.hidden) return;
		isAsking = true;
		const began = performance.now();
		try { await turn(signal); } catch (error) { if (!isAbort(error)) throw error; } finally { isAsking = false; }
		timer = setTimeout(now, Math.max(50, ms - (performance.now() - began)));
	}
	document.addEventListener("visibilitychange", now, { signal });
	now();
	return () => controller.abort();
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curl(path, query, content) {
	const { body, headers } = writing("POST", content);
	return `curl -s ${quoted(location.origin + url(path, query))}${body ? ` -H 'Content-Type: ${headers["Content-Type"]}' --data-binary ${quoted(body)}` : ""}`;
}
