// Values as text: numbers that lose no digit, bytes, durations, times in UTC or local, by 24 hours.

const fraction = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 }), compact = new Intl.NumberFormat("en-US", { notation: "compact" });
const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?$/;

/** What the browser keeps; it may refuse to. */
export function stored(name) {
	try { return localStorage.getItem(`cacheismo.${name}`) ?? ""; } catch { return ""; }
}

export function store(name, value) {
	try { localStorage.setItem(`cacheismo.${name}`, value); } catch { /* Then it is forgotten with the page. */ }
}

export const zone = {
	isLocal: stored("zone") === "local",
	set(isLocal) {
		zone.isLocal = isLocal;
		store("zone", isLocal ? "local" : "utc");
		document.dispatchEvent(new Event("zone"));
	},
};

export const isMissing = (value) => value === null || value === undefined;

export function number(value) {
	if (isMissing(value)) return "–";
	if (typeof value === "string") return /^-?\d+$/.test(value) ? fraction.format(BigInt(value)) : value;
	const size = Math.abs(value);
	return size > 0 && !Number.isSafeInteger(value) && (size < 0.001 || size >= 1e15) ? value.toPrecision(6) : fraction.format(value);
}

export const short = (value) => compact.format(value);

export function bytes(value) {
	let size = Number(value ?? NaN), at = 0;
	for (; size >= 1024 && at < 4; at += 1) size /= 1024;
	return Number.isNaN(size) ? "–" : `${at === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][at]}`;
}

export function duration(ms) {
	if (isMissing(ms)) return "–";
	if (ms < 60_000) return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
	const minutes = Math.round(ms / 60_000), hours = Math.floor(minutes / 60);
	return hours > 47 ? `${Math.round(hours / 24)} d` : hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
}

export const percent = (share) => (Number.isFinite(share) ? `${(share * 100).toFixed(share < 0.1 || (share > 0.99 && share < 1) ? 2 : 1)} %` : "–");

/** Milliseconds since 1970 as `2013-03-08 05:00:00`, in the zone that was chosen. */
export function instant(ms, digits = "") {
	const shift = zone.isLocal ? new Date(ms).getTimezoneOffset() * 60_000 : 0, rest = digits.replace(/0+$/, "");
	return Number.isFinite(ms) ? new Date(ms - shift).toISOString().slice(0, 19).replace("T", " ") + (rest && `.${rest}`) : "–";
}

/** ISO text, to the microsecond, which a Date would drop. A day alone stays as it is. */
export function time(text) {
	const [, day, clock, digits, offset = "Z"] = iso.exec(text) ?? [];
	return clock ? instant(Date.parse(`${day}T${clock}${offset}`), digits) : text ?? "–";
}

/** Milliseconds since 1970 of ISO text, UTC unless it says otherwise; else NaN. */
export function epoch(text) {
	const [, day, clock = "00:00", digits = "0", offset = "Z"] = iso.exec(text) ?? [];
	return day ? Date.parse(`${day}T${clock}${clock.length > 5 ? `.${digits}` : ""}${offset}`) : NaN;
}

/** One cell of a table. Years have no separators. */
export function cell(value, type, name = "") {
	if (isMissing(value)) return "";
	if (typeof value === "object") return value.base64 ? `base64 ${value.base64}` : JSON.stringify(value);
	if (typeof value === "boolean" || /(^|_)year$/i.test(name)) return String(value);
	return typeof value === "number" || type === "int" ? number(value) : type === "time" ? time(value) : value;
}

export const numeric = (value) => (typeof value === "string" && value !== "" ? Number(value) : typeof value === "number" ? value : NaN);
