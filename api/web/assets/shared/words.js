// Numbers and moments in words.

const UNITS = ["bytes", "KiB", "MiB", "GiB"];

/** 52428800 → 50 MiB. */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes.toLocaleString("en", { maximumFractionDigits: unit && bytes < 10 ? 1 : 0 })} ${UNITS[unit]}`;
}

/** 1, "page" → 1 page. */
export function count(number, thing) {
  return `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
}

/** How long it took from one moment to another: 0.4 s, 12 s, 3 min. */
export function duration(from, to) {
  const seconds = Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
  if (seconds < 0.05) return "no time";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** A day as people write it: today and yesterday by name. */
export function day(moment) {
  const date = new Date(moment);
  const days = Math.round((midnight(new Date()) - midnight(date)) / 86400000);
  if (days === 0) return `today, ${date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  if (days === 1) return "yesterday";
  return date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
