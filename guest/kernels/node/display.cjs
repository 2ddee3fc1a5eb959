// Values into the fields of a result.
"use strict";

const { inspect, types } = require("node:util");

const RESULT_LIMIT = 31 * 1024 * 1024; // of one result
const STRUCTURE_LIMIT = 4 * 1024 * 1024; // of each field that is not text
const FIELDS = {
  "text/plain": "text",
  "text/html": "html",
  "text/markdown": "markdown",
  "image/svg+xml": "svg",
  "image/png": "png",
  "image/jpeg": "jpeg",
  "application/pdf": "pdf",
  "text/latex": "latex",
  "application/json": "json",
  "application/javascript": "javascript",
  "text/javascript": "javascript",
};
const DISPLAY = Symbol.for("Jupyter.display"); // a method that returns formats by MIME type, as Deno has it
const METHODS = { _toHtml: "text/html", _toSvg: "image/svg+xml", _toPng: "image/png", _toJpeg: "image/jpeg" };

/** Formats by MIME type; those of an object's own choice where it has any. */
async function bundleOf(value) {
  if (isObject(value)) {
    for (const method of [DISPLAY, "_toMime"]) {
      if (typeof value[method] === "function") return await value[method]();
    }
    const own = Object.entries(METHODS).filter(([method]) => typeof value[method] === "function");
    if (own.length) {
      const formats = await Promise.all(own.map(async ([method, mime]) => [mime, await value[method]()]));
      return { "text/plain": inspect(value), ...Object.fromEntries(formats) };
    }
  }
  const bundle = { "text/plain": inspect(value) };
  if (isPlain(value)) bundle["application/json"] = value;
  return bundle;
}

/** The result event. What is too large is left out, and its place says so. */
function toEvent(bundle, isMain) {
  const event = { type: "result", is_main: isMain };
  const extra = {};
  const omitted = [];
  let left = RESULT_LIMIT;
  for (const [mime, value] of Object.entries(bundle ?? {})) {
    if (value === null || value === undefined) continue;
    const field = FIELDS[mime];
    const structure = field === "json" || (field === undefined && typeof value !== "string" && !types.isUint8Array(value));
    const sent = structure ? asStructure(value) : asText(value);
    if (sent === undefined) continue;
    const size = Buffer.byteLength(structure ? sent.json : sent);
    if (size > (structure ? STRUCTURE_LIMIT : left)) {
      omitted.push(`[${field ?? mime} is left out: ${size} bytes are too many for one result]`);
      continue;
    }
    left -= size;
    (field === undefined ? extra : event)[field ?? mime] = structure ? JSON.parse(sent.json) : sent;
  }
  if (Object.keys(extra).length) event.extra = extra;
  if (omitted.length) event.text = [event.text, ...omitted].filter(Boolean).join("\n");
  return event;
}

/** What cell code calls to show something before its end: `display(value)`, `display.html("<b>…")`, … */
function makeDisplay(show) {
  const display = async (value) => show(await bundleOf(value));
  for (const [mime, field] of Object.entries(FIELDS)) display[field] = (content) => show({ [mime]: content });
  display.mime = (bundle) => show(bundle);
  return display;
}

function asText(value) {
  return types.isUint8Array(value) ? Buffer.from(value).toString("base64") : String(value);
}

function asStructure(value) {
  try {
    const json = JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item));
    return json === undefined ? undefined : { json };
  } catch {
    return undefined; // it holds itself
  }
}

const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

function isPlain(value) {
  if (!isObject(value) || types.isProxy(value)) return false;
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

module.exports = { bundleOf, makeDisplay, toEvent };
