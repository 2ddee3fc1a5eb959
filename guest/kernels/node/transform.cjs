// Cells into what V8 evaluates in REPL mode: types are stripped, imports become dynamic, and a top-level await
// can be interrupted. The parser and the rewriting of top-level await are Node's own, which its REPL uses
// (--expose-internals shows them).
"use strict";

const { stripTypeScriptTypes } = require("node:module");
const acorn = require("internal/deps/acorn/acorn/dist/acorn");
const walk = require("internal/deps/acorn/acorn-walk/dist/walk");
const { processTopLevelAwait } = require("internal/repl/await");

const HELPER = "__sandlot"; // global: what rewritten code calls
const REWRITTEN = /\b(?:import|export|await|const|let|var|class|function)\b/;

/**
 * `{source, awaits}`: with `awaits`, its value is a promise of `{value}`. What is declared can be declared again:
 * `taken` has names that exist as another kind of thing, such as a function for a variable. Raises SyntaxError.
 */
function prepare(code, language, taken) {
  let source = language === "typescript" ? stripTypes(code) : code;
  if (!REWRITTEN.test(source)) return { source: asExpression(source), awaits: false };
  source = rewrite(source, taken);
  const awaiting = source.includes("await") ? processTopLevelAwait(source) : null;
  return awaiting === null ? { source: asExpression(source), awaits: false } : { source: awaiting, awaits: true };
}

/** Erases types in place; what cannot be erased (enum, namespace, parameter properties) is compiled. */
function stripTypes(code) {
  try {
    return stripTypeScriptTypes(code, { mode: "strip" });
  } catch (error) {
    if (error.code !== "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") throw asSyntaxError(error);
  }
  try {
    return stripTypeScriptTypes(code, { mode: "transform" });
  } catch (error) {
    throw asSyntaxError(error);
  }
}

function asSyntaxError(error) {
  return Object.assign(new SyntaxError(error.message), { stack: `SyntaxError: ${error.message}` });
}

/** `{a: 1}` is an object, as in every console, not a block. */
function asExpression(source) {
  if (!/^\s*\{/.test(source) || /;\s*$/.test(source)) return source;
  try {
    acorn.parseExpressionAt(`(${source}\n)`, 0, { ecmaVersion: "latest" });
    acorn.parse(`(${source}\n)`, { ecmaVersion: "latest" });
    return `(${source}\n)`;
  } catch {
    return source;
  }
}

function rewrite(source, taken) {
  let tree;
  try {
    tree = acorn.parse(source, {
      ecmaVersion: "latest",
      sourceType: "module",
      allowAwaitOutsideFunction: true,
      allowHashBang: true,
    });
  } catch {
    return source; // V8 says better what is wrong with it
  }
  const edits = [...moduleEdits(source, tree), ...awaitEdits(tree), ...declarationEdits(tree, taken)];
  // From the end to the beginning; of two at one place, the one that replaces something first.
  edits.sort((a, b) => b.start - a.start || b.end - a.end);
  for (const { start, end, text } of edits) source = source.slice(0, start) + text + source.slice(end);
  return source;
}

function moduleEdits(source, tree) {
  const edits = [];
  for (const node of tree.body) {
    if (node.type === "ImportDeclaration") edits.push({ ...range(node), text: dynamicImport(source, node) });
    else if (node.type === "ExportNamedDeclaration" || node.type === "ExportDefaultDeclaration")
      edits.push({ start: node.start, end: node.declaration?.start ?? node.end, text: "" });
    else if (node.type === "ExportAllDeclaration") edits.push({ ...range(node), text: "" });
  }
  walk.full(tree, (node) => {
    if (node.type === "ImportExpression")
      edits.push({ start: node.start, end: node.start + "import".length, text: `${HELPER}.import` });
    else if (node.type === "MetaProperty" && node.meta.name === "import")
      edits.push({ ...range(node), text: `${HELPER}.meta` });
  });
  return edits;
}

function dynamicImport(source, node) {
  const name = source.slice(node.source.start, node.source.end);
  const attributes = (node.attributes ?? []).map(({ key, value }) => `${JSON.stringify(key.name ?? key.value)}: ${value.raw}`);
  const options = attributes.length ? `, { with: { ${attributes.join(", ")} } }` : "";
  const module = `await ${HELPER}.until(${HELPER}.import(${name}${options}))`;
  const whole = node.specifiers.find(({ type }) => type === "ImportNamespaceSpecifier");
  const named = node.specifiers
    .filter((specifier) => specifier !== whole)
    .map(({ imported, local }) => `${imported ? source.slice(imported.start, imported.end) : "default"}: ${local.name}`);
  const statements = [];
  if (whole) statements.push(`let ${whole.local.name} = ${module};`);
  if (named.length) statements.push(`let { ${named.join(", ")} } = ${module};`);
  return statements.join(" ") || `${module};`;
}

function awaitEdits(tree) {
  const edits = [];
  walk.ancestor(tree, {
    AwaitExpression(node, state, ancestors) {
      if (ancestors.some(({ type }) => /Function/.test(type) || type === "MethodDefinition")) return;
      const { start, end } = node.argument;
      edits.push({ start, end: start, text: `${HELPER}.until(` }, { start: end, end, text: ")" });
    },
  });
  return edits;
}

/** In REPL mode V8 lets `let` and `class` be declared again, but not `const`, nor any as another kind. */
function* declarationEdits(tree, taken) {
  for (const statement of tree.body) {
    const node = statement.declaration ?? statement;
    if (node.type === "VariableDeclaration") {
      const names = node.declarations.flatMap(({ id }) => [...namesOf(id)]);
      if (names.some((name) => taken.has(name))) yield* assignment(node, names, taken);
      else if (node.kind === "const") yield { start: node.start, end: node.start + "const".length, text: "let" };
    } else if (/^(?:Function|Class)Declaration$/.test(node.type) && taken.has(node.id?.name)) {
      yield { start: node.start, end: node.start, text: `${node.id.name} = ` };
      yield { start: node.end, end: node.end, text: ";" };
    }
  }
}

/** `let a = 1, b` becomes `let b; (a = 1, b = undefined);` where `a` exists. */
function* assignment(node, names, taken) {
  const others = names.filter((name) => !taken.has(name));
  const declared = others.length ? `let ${others.join(", ")}; ` : "";
  yield { start: node.start, end: node.start + node.kind.length, text: `${declared};(` };
  for (const { id, init, end } of node.declarations) {
    if (init === null) yield { start: id.end, end, text: " = undefined" };
  }
  const last = node.declarations.at(-1).end;
  yield { start: last, end: last, text: ")" };
}

function* namesOf(pattern) {
  if (pattern.type === "Identifier") yield pattern.name;
  else if (pattern.type === "Property") yield* namesOf(pattern.value);
  else if (pattern.type === "ObjectPattern") for (const item of pattern.properties) yield* namesOf(item);
  else if (pattern.type === "ArrayPattern") for (const item of pattern.elements.filter(Boolean)) yield* namesOf(item);
  else if (pattern.type === "AssignmentPattern") yield* namesOf(pattern.left);
  else if (pattern.type === "RestElement") yield* namesOf(pattern.argument);
}

const range = ({ start, end }) => ({ start, end });

module.exports = { HELPER, prepare };
