/**
 * Checks expFloat32, tanhFloat32 and logFloat32 on every float32 value where they are not trivial,
 * a few minutes' work:
 *
 *     deno run tests/kernels/numeric/float_functions_exhaustive.ts
 *
 * Math.exp, Math.tanh and Math.log are good to about an ulp of double. Where theirs lies more than
 * 2^-20 ulps of float32 from half-way between two float32 values, rounding it is right; elsewhere
 * exact arithmetic decides.
 *
 * @module
 */
import { expFloat32, logFloat32, tanhFloat32 } from "../../../kernels/numeric/float_functions.ts";
import { type Exact, exact, exp, log, tanh, toFloat32 } from "../../../src/testing/exact.ts";

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

function bitsOf(x: number): number {
  single[0] = x;
  return bits[0]!;
}

/** Whether y lies within 2^-20 ulps of float32 of a half-way point. */
function isNearHalf(y: number): boolean {
  // Below 2^-126 the last place of float32 is 2^-149.
  if (Math.abs(y) < 2 ** -126) return Math.abs(Math.abs(y) * 2 ** 149 % 1 - 0.5) < 2 ** -20;
  double[0] = y;
  // A double has 29 bits more.
  return Math.abs((words[0]! & 0x1fffffff) - 0x10000000) < 512;
}

/** A function under test. */
interface Case {
  readonly name: string;
  readonly kernel: (x: number) => number;
  /** In double, nearly right. */
  readonly near: (x: number) => number;
  readonly exactly: (x: Exact) => Exact;
}

/** Checks all float32 x with `from` <= sign x <= `to`; returns how many went wrong. */
function check(
  { name, kernel, near, exactly }: Case,
  sign: number,
  from: number,
  to: number,
): number {
  const last = bitsOf(to);
  let count = 0;
  let close = 0;
  let wrong = 0;
  for (let i = bitsOf(from); i <= last; i++, count++) {
    bits[0] = i;
    const x = sign * single[0]!;
    const y = near(x);
    let want = Math.fround(y);
    if (isNearHalf(y)) {
      close++;
      want = toFloat32(exactly(exact(x)));
    }
    if (kernel(x) !== want && wrong++ < 5) {
      console.error(`${name}(${x}): expected ${want}, got ${kernel(x)}`);
    }
  }
  console.log(
    `${name} of ${
      sign > 0 ? "" : "-"
    }${from}..${to}: ${count} values, ${close} near half-way, ${wrong} wrong`,
  );
  return wrong;
}

const EXP: Case = { name: "exp", kernel: expFloat32, near: Math.exp, exactly: exp };
const TANH: Case = { name: "tanh", kernel: tanhFloat32, near: Math.tanh, exactly: tanh };
const LOG: Case = { name: "log", kernel: logFloat32, near: Math.log, exactly: log };

// Nearer to 0, e^x rounds to 1 and tanh x to x.
let wrong = check(EXP, 1, 2 ** -26, 89);
wrong += check(EXP, -1, 2 ** -26, 105);
wrong += check(TANH, 1, 2 ** -20, 11);
wrong += check(TANH, -1, 2 ** -20, 11);
wrong += check(LOG, 1, 2 ** -149, 3.4028234663852886e38);
if (wrong > 0) throw new Error(`${wrong} wrong`);
