// Numbers, times and sizes as people read them.

const grouped = new Intl.NumberFormat("en");

export function count(number) {
  return grouped.format(number ?? 0);
}

/** `1 client`, `2 clients`. */
export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (number >= 1024 && step < units.length - 1) {
    number /= 1024;
    step += 1;
  }
  return `${step === 0 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[step]}`;
}

/** A span in milliseconds with as many digits as matter. */
export function milliseconds(number) {
  if (number === null || number === undefined) return "–";
  if (number >= 10_000) return `${Math.round(number / 1000)} s`;
  if (number >= 1000) return `${number % 1000 === 0 ? number / 1000 : (number / 1000).toFixed(1)} s`;
  if (number >= 10) return `${Math.round(number)} ms`;
  return `${Number.isInteger(number) ? number : number.toFixed(number >= 1 ? 1 : 2)} ms`;
}

/** A span in seconds, in its two largest units. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86_400), hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${rest} s`;
  return `${rest} s`;
}

/** How long a time is ago. */
export function ago(time) {
  if (!time) return "–";
  const at = Date.parse(time);
  return Number.isNaN(at) ? String(time) : span((Date.now() - at) / 1000) + " ago";
}

/** The time of day of a time, to the millisecond. */
export function clock(time) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return String(time ?? "–");
  const two = (number) => String(number).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${
    String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** The short name of a type URL of xDS; others as they are. */
export function shortType(url) {
  const names = {
    Cluster: "cds", ClusterLoadAssignment: "eds", Listener: "lds", RouteConfiguration: "rds",
    ScopedRouteConfiguration: "srds", VirtualHost: "vhds", Secret: "sds", Runtime: "rtds",
    TypedExtensionConfig: "ecds", LbEndpoint: "leds",
  };
  const last = String(url).split(".").pop();
  return String(url).startsWith("type.googleapis.com/envoy.") ? names[last] ?? url : url;
}
