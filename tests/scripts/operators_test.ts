import { assertEquals, assertThrows } from "@std/assert";
import { Embedding, Graph, Linear, LSTM } from "@splitgate/splitgate";
import { OPERATOR_ROWS } from "../../scripts/operator_rows.ts";
import { checkRows, lineOf, loadTools } from "../../scripts/operators.ts";
import { KIND_NAMES } from "../../src/modules/kinds.ts";

const cellsOf = (line: string) => line.split("|").slice(1, -1).map((cell) => cell.trim());

Deno.test("each kind of module has a row in the table of operators", () => {
  checkRows(OPERATOR_ROWS, KIND_NAMES);
  assertThrows(
    () => checkRows(OPERATOR_ROWS, [...KIND_NAMES, "RNN"]),
    RangeError,
    "got none for [RNN], and rows for []",
  );
  assertThrows(
    () => checkRows(OPERATOR_ROWS, KIND_NAMES.filter((kind) => kind !== "Linear")),
    RangeError,
    "got none for [], and rows for [Linear]",
  );
});

Deno.test("a row of the table says what a module does, and why it does not", async () => {
  const tools = await loadTools();
  const linear = () => new Linear({ inFeatures: 2, outFeatures: 3 });
  const { line, reasons } = lineOf({ kind: "Linear", module: linear, torch: [] }, tools);
  assertEquals(cellsOf(line).slice(0, 5), [
    "Linear",
    "yes",
    "int8 weights, quint8",
    "int8 weights, float32",
    "yes",
  ]);
  assertEquals(cellsOf(line).slice(6), [
    "`linear`",
    "no",
    "yes",
    "`./runtime`; `./runtime/dynamic` (dynamic)",
  ]);
  assertEquals(reasons, []);

  // Of a graph, the module that is called `op`; torch quantizes no LSTM dynamically that projects.
  const projected = () =>
    new Graph({
      embedding: { module: new Embedding({ numEmbeddings: 2, embeddingDim: 2 }) },
      op: { module: new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2 }) },
    });
  const refused = lineOf({ kind: "LSTM", module: projected, torch: [] }, tools);
  assertEquals(cellsOf(refused.line).slice(2, 4), ["int8 weights, quint8", "no"]);
  assertEquals(refused.reasons, [
    "- LSTM, dynamic: op.projSize: expected 0, since the LSTM is dynamic, got 2",
  ]);
});

Deno.test("a row names only functions of torch of which values are recorded", async () => {
  const module = () => new Linear({ inFeatures: 2, outFeatures: 3 });
  const tools = await loadTools();
  const { line } = lineOf({ kind: "Linear", module, torch: ["quantized::linear"] }, tools);
  assertEquals(cellsOf(line)[7], "`quantized::linear`");
  assertThrows(
    () => lineOf({ kind: "Linear", module, torch: ["quantized::none"] }, tools),
    RangeError,
    'got "quantized::none"',
  );
});
