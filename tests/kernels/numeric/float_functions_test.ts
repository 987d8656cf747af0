import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  expFloat32,
  expFloat64,
  floatFunction,
  hardSigmoidFloat32,
  logFloat32,
  sigmoidFloat32,
  tanhFloat32,
} from "../../../kernels/numeric/float_functions.ts";
import { anyFloat32 } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { testProperties } from "../property.ts";
import {
  checkLog,
  f,
  FLOAT_FUNCTION_RULES,
  HARDEST_EXP,
  HARDEST_LOG,
  HARDEST_TANH,
} from "./float_functions.ts";

/** Calls `run` in an engine whose function `name` is off by `factor`. */
function withEngine(name: "exp" | "tanh" | "log", factor: number, run: () => void): void {
  const { [name]: original } = Math;
  Math[name] = (x) => original(x) * factor;
  try {
    run();
  } finally {
    Math[name] = original;
  }
}

testProperties(FLOAT_FUNCTION_RULES);

Deno.test("expFloat32() is 0 and infinite where e^x is beyond float32, and right at every edge", () => {
  fc.assert(
    fc.property(
      anyFloat32.filter((x) => x < -104 || x > 89),
      (x) => assertEquals(expFloat32(x), x < 0 ? 0 : Infinity),
    ),
  );
  // Where results become subnormal, zero and infinite, and where the argument is halved into two.
  for (
    const edge of [
      -103.97208,
      -103.97207,
      -104,
      -103.27893,
      -87.33655,
      88.72283,
      88.72284,
      0.34657359,
      -0.34657359,
    ]
  ) {
    for (let k = -3; k <= 3; k++) {
      const x = f(f(edge) * (1 + k * 2 ** -23));
      assertEquals(expFloat32(x), oracle.exp32(x));
    }
  }
  assertEquals([0, -0, Infinity, -Infinity, NaN].map(expFloat32), [1, 1, Infinity, 0, NaN]);
});

Deno.test("tanhFloat32() is 1 and -1 where tanh x is next to it, and right at every edge", () => {
  fc.assert(
    fc.property(
      anyFloat32.filter((x) => Math.abs(x) > 9.011),
      (x) => assertEquals(tanhFloat32(x), Math.sign(x)),
    ),
  );
  for (
    const x of [9.010913, 9.01, 10, 0.17328679, 0.5493061, 2 ** -12, 2 ** -126, 2 ** -149].map(f)
  ) {
    assertEquals(tanhFloat32(x), oracle.tanh32(x));
    assertEquals(tanhFloat32(-x), -oracle.tanh32(x));
  }
  assertEquals([0, Infinity, -Infinity, NaN].map(tanhFloat32), [0, 1, -1, NaN]);
});

Deno.test("sigmoidFloat32() is the oracle's at fixed points, and keeps NaN", () => {
  for (let i = -1100; i <= 1100; i++) {
    assertEquals(sigmoidFloat32(f(i / 10)), oracle.sigmoid32(f(i / 10)));
  }
  assertEquals([Infinity, -Infinity, NaN].map(sigmoidFloat32), [1, 0, NaN]);
});

Deno.test("logFloat32() is right at every edge, and NaN of what is negative", () => {
  for (const x of [2 ** -149, 2 ** -126, f(3.4028234663852886e38), 0.5, 2, Math.SQRT2].map(f)) {
    checkLog(x);
  }
  assertEquals([1, 0, -0, Infinity].map(logFloat32), [0, -Infinity, -Infinity, Infinity]);
  assertEquals([-1, -Infinity, NaN].map(logFloat32), [NaN, NaN, NaN]);
});

Deno.test("exp, tanh and log give the same bits where an engine's own functions are 100 ulp off", () => {
  let differ = 0;
  for (const factor of [1 + 100 * 2 ** -52, 1 - 100 * 2 ** -52]) {
    withEngine("log", factor, () => {
      for (const x of HARDEST_LOG) {
        assertEquals(logFloat32(x), oracle.log32(x));
        if (f(Math.log(x)) !== logFloat32(x)) differ++;
      }
    });
    withEngine("exp", factor, () => {
      for (const x of HARDEST_EXP) {
        assertEquals(expFloat32(x), oracle.exp32(x));
        if (f(Math.exp(x)) !== expFloat32(x)) differ++;
      }
    });
    withEngine("tanh", factor, () => {
      for (const x of HARDEST_TANH) {
        assertEquals(tanhFloat32(x), oracle.tanh32(x));
        if (f(Math.tanh(x)) !== tanhFloat32(x)) differ++;
      }
    });
  }
  assert(differ > 10);
});

Deno.test("expFloat64() of both zeros is 1", () => {
  assertEquals([expFloat64(0), expFloat64(-0)], [1, 1]);
});

Deno.test("the hard sigmoid of PyTorch and that of slope 1/6 differ in last bits only, and do", () => {
  const other = floatFunction({ name: "hardSigmoid", slope: 1 / 6, offset: 0.5 });
  let differ = 0;
  for (let i = -4000; i <= 4000; i++) {
    const x = f(i / 1000);
    const difference = Math.abs(hardSigmoidFloat32(x) - other(x));
    assert(difference <= 2 ** -23);
    if (difference > 0) differ++;
  }
  assert(differ > 500);
});
