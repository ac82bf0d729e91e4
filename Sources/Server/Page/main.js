// The page: which view the address names, its header, and what the node's silence looks like.

import { get, poll } from "./api.js";
import { fill, h } from "./dom.js";
import { instant, zone } from "./format.js";

/** A view is a module, fetched when first shown; its `mount(root, words)` returns how to end it. */
const views = ["Cluster", "Query", "Runs", "Frames", "Objects", "Board"].map((title) => h("a", { href: `#/${title.toLowerCase()}` }, title));
const [main, lost, nav, tools] = ["main", "lost", "views", "tools"].map((id) => document.getElementById(id));
const node = h("b", { title: "The node that serves this page" }, location.host), clock = h("span"), times = h("span.switch", { role: "group", "aria-label": "Times are shown in" });
let unmount, turn = 0, lostSince = null;

async function show() {
	const mine = (turn += 1), [path, words] = location.hash.split(/\?(.*)/s), view = views.find((one) => one.hash === path) ?? views[0], id = view.hash.slice(2);
	for (const one of views) one.ariaCurrent = one === view ? "page" : null;
	document.title = `${view.textContent} · Cacheismo`;
	const { mount } = await import(`./${id}.js`);
	if (mine !== turn) return;
	unmount?.();
	main.className = `view-${id}`;
	unmount = mount(fill(main), new URLSearchParams(words));
}

function tick() {
	fill(clock, instant(Date.now()).slice(11));
	if (lostSince) fill(lost, `This node has not answered since ${instant(lostSince).slice(11)}.`);
}

function drawZone() {
	fill(times, [["UTC", false], ["Local", true]].map(([label, isLocal]) => h("button", { type: "button", "aria-pressed": String(zone.isLocal === isLocal), onclick: () => zone.set(isLocal) }, label)));
	tick();
}

fill(nav, views);
fill(tools, node, clock, times);
drawZone();
setInterval(tick, 1000);
poll(async (signal) => { if (lostSince) await get("/health/live", {}, signal).catch(() => {}); }, 1000);
document.addEventListener("zone", drawZone);
document.addEventListener("node", ({ detail: answers }) => {
	lostSince = answers ? null : lostSince ?? Date.now();
	lost.hidden = answers;
});
document.addEventListener("keydown", (event) => {
	const field = main.querySelector("[type=search]");
	if (event.key !== "/" || !field || event.target.closest("input, textarea, select")) return;
	event.preventDefault();
	field.focus();
});
addEventListener("hashchange", show);
get("/v1/stats").then((stats) => fill(node, stats.node), () => {});
show();
