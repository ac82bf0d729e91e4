// Cluster: the nodes, what they hold, what they are asked for, who is slow, which rows are lost.

import { get, key, poll } from "./api.js";
import { stack } from "./charts.js";
import { fill, h } from "./dom.js";
import { pill, shows } from "./envelope.js";
import { bytes, duration, number, percent } from "./format.js";
import { double, int, table, text } from "./table.js";

/** Of a node's memory: together its RSS. */
const parts = ["items", "objects", "pinned", "frames", "scripts", "planCache", "dictionaries", "connections", "code", "allocator", "other"];

export function mount(root) {
	const before = new Map(), state = h("div"), missing = h("div", { "aria-live": "polite" });
	const stat = (name, label, render = number) => int(name, label, render, ({ stats }) => stats?.[name]);
	const usage = (name, label) => double(name, label, (_, node) => used(node[name]), (node) => node[name]?.share);
	const nodes = table("Nodes", [
		text("name", "node", (name, { address }) => [name, h("small", address)]),
		text("state", "state", (now, { reason, silentMs }) => [pill(now === "up" ? "complete" : "error", now), now !== "up" && h("small", reason, silentMs > 0 && `, silent for ${duration(silentMs)}`)]),
		usage("cache", "items, objects"), usage("frames", "frames"), int("rate", "gets/s", number), double("hits", "hits", percent), stat("curr_items", "items"), stat("evictions", "evictions"),
		stat("curr_connections", "connections"), double("roundTripMs", "round trip", duration), stat("uptime", "up for", (seconds) => duration(seconds && seconds * 1000)), int("shards"), text("version"),
	]);
	const part = (name, at) => int(name, [h(`i.key.part-${at}`), name], bytes, ({ memory }) => memory[name]);
	const memory = table("Memory by node", [text("name", "node"), double("parts", "parts", (rss, node) => memoryBar(node), (node) => node.memory.rss), ...parts.map(part), int("rss", "RSS", bytes, (node) => node.memory.rss)]);
	const code = (value) => h("code", value);
	const hot = table("Hot keys and objects", [text("what", "key or object", code), text("kind"), text("node"), int("count", "times"), int("error", "too high by at most")]);
	const slow = table("Slow methods and jobs", [text("what", "what", code), double("ms", "took", duration), { ...text("at", "when"), type: "time" }]);

	const section = (title, { element }, note) => h("section", { "aria-label": title }, h("h2", title), h("p.note", note), element);
	fill(root, h("h1", "Cluster"), state, missing, section("Nodes", nodes, "Items and objects stand against -m, frames against --frame-memory."),
		section("Memory", memory, "The parts add up to what the process takes (RSS)."),
		h("div.pair", section("Hot keys and objects", hot, "Read or called most."), section("Slow, on this node", slow, "Beyond --slow-ms.")));

	/** With what is reckoned from a node's figures, and from those of the time before. */
	function reckon(node, own) {
		const { stats, memory: all } = { ...(node.name === own.node && own), ...node };
		const share = (limit, ...names) => { const sum = names.reduce((total, name) => total + (all[name] ?? 0), 0); return { sum, limit: all[limit], share: sum / all[limit] }; };
		const at = performance.now(), last = before.get(node.name);
		if (stats) before.set(node.name, { at, gets: stats.cmd_get });
		return {
			...node, stats, memory: all, isGone: node.state !== "up", cache: all && share("limit", "items", "objects", "pinned"), frames: all && share("frameLimit", "frames"),
			hits: stats && stats.get_hits / (stats.get_hits + stats.get_misses), rate: stats && last && Math.max(0, Math.round((stats.cmd_get - last.gets) / (at - last.at) * 1000)),
		};
	}

	return poll(async (signal) => {
		try {
			const [cluster, own, ownHot] = await Promise.all([get("/v1/cluster", {}, signal), get("/v1/stats", {}, signal), key("node:hotkeys:10", signal).catch(() => [])]);
			const all = cluster.nodes.map((node) => reckon(node, own));
			const read = ({ name, hot: found = name === own.node ? ownHot : [] }) => (found ?? []).map((one) => ({ ...one, node: name, what: one.object ?? one.key, kind: one.object ? "object" : "key" }));
			nodes.update(all);
			memory.update(all.filter((node) => node.memory));
			hot.update(all.flatMap(read).sort((a, b) => b.count - a.count).slice(0, 20));
			slow.update(own.slow ?? []);
			fill(missing, whatIsMissing(all, cluster.conflicts ?? []));
			fill(state);
		} catch (error) { shows(state)(error); }
	}, 2000);
}

const used = (part) => (part ? [stack([{ name: part.share > 0.95 ? "full" : "used", value: part.share }], 1, percent(part.share)), h("small", `${bytes(part.sum)} of ${bytes(part.limit)}`)] : "–");

const memoryBar = ({ name, memory }) => stack(parts.map((part, at) => ({ name: `part-${at}`, value: memory[part] ?? 0, text: `${part}: ${bytes(memory[part])}` })), memory.rss, `Memory of ${name}`);

function whatIsMissing(all, conflicts) {
	const found = [
		...all.filter(({ isGone }) => isGone).map(({ name, address, state, reason }) => `${name} (${address}) is ${state}, ${reason}: what it holds is missing from answers.`),
		...all.flatMap(({ name, lostRows }) => Object.entries(lostRows ?? {}).map(([frame, rows]) => `${name} was restarted and lost ${number(rows)} rows of ${frame}: jobs over it are incomplete until it is dropped and loaded again.`)),
		...conflicts.map(({ kind, name }) => `There are several of ${kind} ${name}: drop all but one.`),
	];
	return found.length > 0 && h("div.warning", h("h2", "What is missing"), h("ul", found.map((one) => h("li", one))));
}
