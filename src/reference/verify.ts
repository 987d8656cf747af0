/**
 * Checks that every reference graph passes.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { perTensorAffine, type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import { REFERENCE_OPS } from "../modules/kinds.ts";
import type { GraphNode } from "../modules/reference.ts";
import { nodeQParams } from "./graph.ts";

/**
 * A fault of a graph.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import {
 *   convertToReference,
 *   type GraphFault,
 *   verifyGraph,
 * } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const { nodes } = convertToReference(observed);
 * assertEquals(verifyGraph(nodes), []);
 * const faults: GraphFault[] = verifyGraph(nodes.slice(0, -1)); // the graph without its output
 * for (const { node, fault } of faults) console.log(`${node}: ${fault}`);
 * ```
 */
export interface GraphFault {
  /** The node. */
  readonly node: string;
  /** The fault, to be read after the node's name. */
  readonly fault: string;
}

/** Number of inputs of nodes that are no operations. */
const INPUTS: Readonly<Record<string, number>> = {
  input: 0,
  state: 1,
  quantize: 1,
  dequantize: 1,
  output: 1,
};

/**
 * Whether a node's value may be float32: given so, dequantized, or left so by the configuration.
 */
function floatByRight(node: GraphNode): boolean {
  const { op } = node;
  return op === "dequantize" || op === "input" || op === "state" ||
    REFERENCE_OPS.get(op)?.passes === true || node.float === true;
}

/**
 * Checks a reference graph: names are unique, nodes come after those that they read, widths fit,
 * every operation reads dequantized values (or values that the configuration leaves float32), every
 * quantize reads float32 and has a legal dtype and range, every dequantize reads integers, no q-dq
 * pair is missing after a quantized operation, and none is redundant.
 *
 * @param nodes A graph's nodes, in order.
 * @returns The faults; none for a valid graph.
 * @throws {TypeError} If `nodes` is no array.
 *
 * @example
 * ```ts
 * import { verifyGraph } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const faults = verifyGraph([
 *   { name: "input", op: "input", inputs: [], dtype: "float32", width: 1, module: null },
 *   { name: "y", op: "tanh", inputs: ["input"], dtype: "float32", width: 1, module: "m" },
 *   { name: "output", op: "output", inputs: ["y"], dtype: "float32", width: 1, module: null },
 * ]);
 * assertEquals(faults, [{ node: "output", fault: "reads y, which has no q-dq pair" }]);
 * ```
 */
export function verifyGraph(nodes: readonly GraphNode[]): GraphFault[] {
  if (!Array.isArray(nodes as unknown)) failType("nodes", "an array of a graph's nodes", nodes);
  const faults: GraphFault[] = [];
  const byName = new Map<string, GraphNode>();
  const indices = new Map<string, number>();
  nodes.forEach((node, i) => {
    if (byName.has(node.name)) {
      faults.push({ node: node.name, fault: "has a name that another node has" });
    }
    byName.set(node.name, node);
    indices.set(node.name, i);
  });
  const readers = new Map<string, number>();
  nodes.forEach((node, i) => {
    const fail = (fault: string) => void faults.push({ node: node.name, fault });
    const operation = REFERENCE_OPS.get(node.op);
    const count = operation === undefined ? INPUTS[node.op] : operation.inputs;
    const { length } = node.inputs;
    if (count === undefined) return fail(`has an unknown operation, ${node.op}`);
    if (count === null ? length < 2 : length !== count) {
      return fail(`reads ${length} values, not ${count ?? "2 or more"}`);
    }
    const inputs: GraphNode[] = [];
    for (const name of node.inputs) {
      readers.set(name, (readers.get(name) ?? 0) + 1);
      const input = byName.get(name);
      if (input === undefined) return fail(`reads ${name}, which does not exist`);
      if (node.op === "state" ? indices.get(name)! <= i : indices.get(name)! >= i) {
        return fail(`reads ${name}, which stands ${node.op === "state" ? "before" : "behind"} it`);
      }
      inputs.push(input);
    }
    checkDType(node, fail);
    checkInputs(node, inputs, byName, fail);
    checkWidth(node, inputs, fail);
  });
  for (const { name, op } of nodes) {
    if (op !== "output" && !readers.has(name)) {
      faults.push({ node: name, fault: "is read by nobody" });
    }
  }
  return faults;
}

function checkDType(node: GraphNode, fail: (fault: string) => void): void {
  const { op, dtype } = node;
  const may = op === "quantize" || op === "state";
  if (op === "input" && dtype === "int32") return;
  if (dtype === "float32") {
    if (op === "quantize") fail("gives float32, not integers");
    else if (node.scale !== undefined) fail("gives float32 and has a scale");
    return;
  }
  if (!may) return fail(`gives ${dtype}, which only a quantize or a state can`);
  try {
    perTensorAffine(nodeQParams(node)!);
  } catch (error) {
    fail(`has illegal parameters: ${(error as Error).message}`);
  }
}

/** The integers that a float32 value was dequantized from, through chunks. */
function origin(node: GraphNode, byName: ReadonlyMap<string, GraphNode>): PerTensorQParams | null {
  let from = node;
  while (REFERENCE_OPS.get(from.op)?.passes) from = byName.get(from.inputs[0]!)!;
  if (from.op !== "dequantize") return null;
  const source = byName.get(from.inputs[0]!);
  return source === undefined ? null : nodeQParams(source);
}

function checkInputs(
  node: GraphNode,
  inputs: readonly GraphNode[],
  byName: ReadonlyMap<string, GraphNode>,
  fail: (fault: string) => void,
): void {
  for (const input of inputs) {
    const integers = input.dtype !== "float32";
    if (input.dtype === "int32") {
      if (REFERENCE_OPS.get(node.op)?.readsTokens !== true) fail(`reads ${input.name}, token ids`);
    } else if (REFERENCE_OPS.get(node.op)?.readsTokens) {
      fail(`reads ${input.name}, which gives no token ids`);
    } else if (node.op === "dequantize") {
      if (nodeQParams(input) === null) fail(`reads ${input.name}, which gives no integers`);
    } else if (node.op === "state") {
      const own = nodeQParams(node);
      const next = nodeQParams(input);
      if (own === null ? next !== null : next === null || !sameQParams(own, next)) {
        fail(`and ${input.name}, which gives its next value, differ in their parameters`);
      }
    } else if (integers) {
      fail(`reads ${input.name}, which is not dequantized`);
    } else if (node.op === "quantize") {
      const before = origin(input, byName);
      const own = nodeQParams(node);
      // A pair on an operation's output is never redundant; one on a dequantized value with the
      // same parameters is.
      if (before !== null && own !== null && sameQParams(before, own)) {
        fail("repeats the pair before it");
      }
    } else if (!floatByRight(input)) {
      fail(`reads ${input.name}, which has no q-dq pair`);
    }
  }
  if (node.float === true && !REFERENCE_OPS.has(node.op)) {
    fail("is no operation, and marked as one in float32");
  }
}

function checkWidth(
  node: GraphNode,
  inputs: readonly GraphNode[],
  fail: (fault: string) => void,
): void {
  const { op, width } = node;
  const widths = inputs.map((input) => input.width);
  const operation = REFERENCE_OPS.get(op);
  const expected = operation === undefined ? widths[0] ?? width : operation.width(node, widths);
  if (typeof expected === "string") return fail(expected);
  if (width !== expected) fail(`has the width ${width}, not ${expected}`);
}

/** Throws a graph's first fault. */
export function assertGraph(nodes: readonly GraphNode[]): void {
  const [fault] = verifyGraph(nodes);
  if (fault !== undefined) {
    failRange(`graph node ${fault.node}`, "a right reference graph", fault.fault);
  }
}
