import { assertEquals, assertThrows } from "@std/assert";
import { compileModel, loadModel, saveModel, Softmax, tensor } from "@splitgate/splitgate";
import { fbgemmQConfig, qnnpackQConfig } from "../../../src/qconfig/qconfig.ts";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { softmax } from "@splitgate/splitgate/runtime/softmax";
import {
  softmaxFloat32,
  softmaxQuint8FixedPoint,
  softmaxTable,
} from "../../../kernels/ops/softmax.ts";
import { afterLinear, holdActivation } from "../activations.ts";
import { resaved } from "../resaved.ts";

holdActivation({
  kind: "Softmax",
  make: () => new Softmax(),
  float: () => (row) => {
    const out = new Float32Array(row.length);
    softmaxFloat32(row, out, row.length);
    return out;
  },
  integers({ data, qparams, shape }, y, _to, engine) {
    if (engine !== "qnnpack" || qparams.dtype !== "quint8") return false;
    const width = shape[shape.length - 1]!;
    const table = softmaxTable(qparams.scale, width);
    softmaxQuint8FixedPoint(table, data as Uint8Array, y as Uint8Array, width);
    return true;
  },
});

Deno.test("Softmax's output has torch's fixed parameters, and qnnpack's fixed point under qnnpack", () => {
  const of = (qconfig: typeof fbgemmQConfig) => {
    const { own } = afterLinear(new Softmax({ dim: -1 }), qconfig);
    assertEquals([own.output!.scale, own.output!.zeroPoint], [1 / 256, 0]);
    return (own.lower() as { fixedPoint?: boolean }).fixedPoint;
  };
  assertEquals([of(fbgemmQConfig), of(qnnpackQConfig)], [false, true]);
});

Deno.test("a program with a Softmax says what to import where it is loaded without", () => {
  const { model } = afterLinear(new Softmax(), fbgemmQConfig);
  const program = compileModel(model);
  assertThrows(() => loadProgram(program), RangeError, "runtime/ entry");
  assertEquals(loadProgram(program, { kinds: [softmax] }).outputSize, 3);
});

Deno.test("Softmax over nothing or over another dimension is refused by name", () => {
  assertThrows(() => new Softmax().forward(tensor([], [2, 0])), RangeError, "x.shape");
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new Softmax(options);
  assertThrows(bad({ dim: 1 }), RangeError, "dim: expected -1, the last dimension, got 1");
  assertThrows(bad({ dim: "-1" }), TypeError, "dim");
  assertThrows(bad({ axis: -1 }), TypeError, "axis");
});

Deno.test("a file with a Softmax of no width, of another engine, or with another field is refused by name", () => {
  const { model } = afterLinear(new Softmax(), fbgemmQConfig);
  const saved = saveModel(model);
  const edit = (change: (fields: Record<string, unknown>) => void) => () =>
    loadModel(resaved(saved, ({ modules }) => change(modules[1]!)));
  edit(() => {})();
  assertThrows(edit((each) => each.size = 0), RangeError, "activation.size: expected an integer");
  assertThrows(edit((each) => each.size = 2), RangeError, "modules.activation");
  assertThrows(edit((each) => delete each.engine), RangeError, "activation.engine");
  assertThrows(edit((each) => each.dim = 1), RangeError, "activation.dim: expected no such field");
  const half = "Softmax.output: expected parameters that suit the kind";
  assertThrows(
    () =>
      loadModel(resaved(saved, (json) => json.modules[1]!.output = json.qparams.push(null) - 1)),
    RangeError,
    half,
  );
  assertThrows(edit((each) => each.output = 99), RangeError, "activation.output");
});
