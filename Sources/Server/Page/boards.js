// A board as text: tiles of virtual keys and of jobs, their order, and how they are drawn.

import { store, stored } from "./format.js";

export const requirements = [["all", "all, or an error"], ["any", "any: a part will do"], ["80%", "at least 80 %"], ["50%", "at least half"]];

const own = ["require", "title", "type", "x", "by"];

/** `{ kind: "key" or "job", name, words, require, title, type, x, y, by }`; words are a job's parameters. */
function readTile(text) {
	const [head, rest] = text.split(/\?(.*)/s), words = new URLSearchParams(rest);
	return {
		kind: head.slice(0, 3) === "job" ? "job" : "key", name: head.slice(4), y: words.getAll(".y"),
		words: Object.fromEntries([...words].filter(([name]) => !name.startsWith("."))), ...Object.fromEntries(own.map((name) => [name, words.get(`.${name}`) ?? undefined])),
	};
}

function writeTile(tile) {
	const words = new URLSearchParams(tile.words);
	for (const name of own) if (tile[name] !== undefined) words.set(`.${name}`, tile[name]);
	for (const name of tile.y ?? []) words.append(".y", name);
	return `${tile.kind}/${tile.name}${words.size > 0 ? `?${words}` : ""}`;
}

export const readBoard = (words) => ({ title: words.get("title") ?? "", tiles: words.getAll("t").map(readTile).filter(({ name }) => name) });

export const writeBoard = ({ title, tiles }) => new URLSearchParams([...(title ? [["title", title]] : []), ...tiles.map((tile) => ["t", writeTile(tile)])]).toString();

export const lastBoard = () => readBoard(new URLSearchParams(stored("board")));
export const keepBoard = (board) => store("board", writeBoard(board));

/** Puts a tile on the board that was open last, unless it is there. */
export function addTile(tile) {
	const board = lastBoard();
	if (!board.tiles.some((other) => writeTile(other) === writeTile(tile))) board.tiles.push(tile);
	keepBoard(board);
	return "On the board";
}
