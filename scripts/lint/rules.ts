/**
 * Rules of `deno lint`. Functions of the package take at most five parameters; more belong together
 * in an object that is created once. Functions that need more on a hot path are listed here with
 * the reason. The result of a QConfigMapping's methods must be used, because they do not change the
 * mapping.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** Max number of parameters of a function. */
const MAX_PARAMETERS = 5;

const INNER_LOOP = "runs for every unit or row of every step; V8 keeps numbers in registers and " +
  "reloads fields of an object";
const EVERY_STEP = "runs for every step of every row; an object for a call would be made each time";
const EVERY_CALL = "runs at every call of a session, whose steps allocate nothing";
const LAYS_OUT = "writes the memory that kernels/simd reads, once a module: each parameter is a " +
  "part of that layout";

/** Functions that may have more parameters, by file, with the reason. */
export const HOT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "kernels/packed/gru_cell.ts": {
    add: INNER_LOOP,
    addTo: INNER_LOOP,
    reset: INNER_LOOP,
    blend: INNER_LOOP,
    gruStep: EVERY_STEP,
  },
  "kernels/packed/lstm_cell.ts": {
    add: INNER_LOOP,
    finishUnits: INNER_LOOP,
    projectRows: INNER_LOOP,
    lstmStep: EVERY_STEP,
  },
  "kernels/packed/pack.ts": { dotColumns: INNER_LOOP },
  "src/runtime/centered.ts": { quantizeCentered: EVERY_STEP },
  "src/runtime/recurrent.ts": { runRow: EVERY_CALL },
  "src/simd/backend.ts": {
    "#cell": EVERY_CALL,
    "#projectChunk": EVERY_CALL,
    "#runChunk": EVERY_CALL,
    "#writeOperand": LAYS_OUT,
  },
  "src/simd/memory.ts": {
    loadOperand: EVERY_CALL,
    storeOperand: EVERY_CALL,
    writeOperand: LAYS_OUT,
    writeCell: LAYS_OUT,
  },
};

/** Methods of QConfigMapping that return a new mapping. */
const MAPPING_SETTERS = [
  "setGlobal",
  "setObjectType",
  "setModuleName",
  "setModuleNamePattern",
  "setPart",
];

type FunctionNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression;

/** The name of a function, or of the variable or property that holds it; "" if it has none. */
function nameOf(node: FunctionNode): string {
  if (node.type !== "ArrowFunctionExpression" && node.id !== null) return node.id.name;
  const { parent } = node;
  const named = parent.type === "VariableDeclarator"
    ? parent.id
    : parent.type === "MethodDefinition" || parent.type === "Property" ||
        parent.type === "PropertyDefinition"
    ? parent.key
    : null;
  if (named?.type === "PrivateIdentifier") return `#${named.name}`;
  return named?.type === "Identifier" ? named.name : "";
}

/** A file's path from the root of the package, for sources; undefined for anything else. */
function sourceOf(filename: string): string | undefined {
  const root = fileURLToPath(new URL("../../", import.meta.url)).replaceAll("\\", "/");
  const path = filename.replaceAll("\\", "/");
  const local = path.startsWith(root) ? path.slice(root.length) : path;
  return /^(src|kernels)\//.test(local) ? local : undefined;
}

/** The plugin that deno.json names. */
const plugin: Deno.lint.Plugin = {
  name: "splitgate",
  rules: {
    "max-parameters": {
      create(context) {
        const source = sourceOf(context.filename);
        if (source === undefined) return {};
        const hot = HOT[source] ?? {};
        const check = (node: FunctionNode): void => {
          const { length } = node.params;
          if (length <= MAX_PARAMETERS || Object.hasOwn(hot, nameOf(node))) return;
          context.report({
            node,
            message: `${length} parameters, expected at most ${MAX_PARAMETERS}`,
            hint:
              "Pass what belongs together as an object that is made once; a measured hot path " +
              "goes into the list of scripts/lint/rules.ts.",
          });
        };
        return {
          FunctionDeclaration: check,
          FunctionExpression: check,
          ArrowFunctionExpression: check,
        };
      },
    },
    "unused-mapping": {
      create(context) {
        return {
          ExpressionStatement({ expression }) {
            if (expression.type !== "CallExpression") return;
            const { callee } = expression;
            if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return;
            const { name } = callee.property;
            if (!MAPPING_SETTERS.includes(name)) return;
            context.report({
              node: expression,
              message: `${name} gives another QConfigMapping and changes none`,
              hint: "Keep what it gives.",
            });
          },
        };
      },
    },
  },
};

export default plugin;
