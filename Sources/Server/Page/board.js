// Board: virtual keys and jobs side by side, asked each second. Its address is the board.

import { keepBoard, lastBoard, readBoard, requirements, writeBoard } from "./boards.js";
import { button, copy, field, fill, h, remember, select } from "./dom.js";
import { tileView, titleOf } from "./tiles.js";

export function mount(root, words) {
	const board = words.has("t") ? readBoard(words) : lastBoard(), { tiles } = board;
	const grid = h("div.board"), key = h("input", { type: "text", name: "key", required: true, placeholder: "quota:getleft:alice" });
	let shown = [];

	function keep() {
		keepBoard(board);
		remember("board", writeBoard(board));
	}

	function draw() {
		for (const view of shown) view.stop();
		keep();
		shown = tiles.map((tile, at) => tileView(tile, menu(tile, at)));
		fill(grid, shown.map(({ element }) => element), tiles.length === 0 && h("p.about", "Add a key here, or pin a job in Query."));
	}

	function menu(tile, at) {
		const { kind, name, words, require } = tile;
		const set = (what) => (value) => { tile[what] = value || undefined; draw(); };
		return h("details.menu", h("summary", { "aria-label": `Settings of ${titleOf(tile)}` }, "⋯"), h("div",
			field("title", h("input", { type: "text", value: tile.title ?? "", placeholder: name, onchange: ({ target }) => set("title")(target.value) })),
			kind === "job" && [field("nodes that must answer", select("Nodes that must answer", requirements, require ?? "all", set("require"))), h("a", { href: `#/query?${new URLSearchParams({ job: name, ...words, ".require": require ?? "all" })}` }, "Open in Query")],
			field("shown as", select("Shown as", [["", "what suits it"], ["bar", "bars"], ["line", "lines"], ["scatter", "points"], ["none", "a table"]], tile.type ?? "", set("type"))),
			button("Remove", () => { tiles.splice(at, 1); draw(); })));
	}

	function add(event) {
		event.preventDefault();
		tiles.push({ kind: "key", name: key.value.trim() });
		draw();
	}

	const title = h("input.board-title", { type: "text", "aria-label": "Title of the board", placeholder: "A board", value: board.title, oninput: () => { board.title = title.value; keep(); } });
	fill(root, h("h1.offscreen", "Board"), h("div.row", title, h("span.spacer"), h("form.row", { onsubmit: add }, field("key that is read each second", key), h("button", "Add")), button("Copy link", () => copy(location.href), { id: "link" }, ".primary")), grid);
	draw();
	const ageing = setInterval(() => { for (const { tick } of shown) tick(); }, 1000);
	return () => { clearInterval(ageing); for (const view of shown) view.stop(); };
}
