import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { dequantizePerTensor, quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import {
  FakeQuantize,
  FixedQParamsObserver,
  HistogramObserver,
  MinMaxObserver,
  PerChannelMinMaxObserver,
  PlaceholderObserver,
} from "@splitgate/splitgate/qconfig";

const f = Math.fround;
const values = fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), {
  minLength: 1,
  maxLength: 33,
})
  .map((x) => Float32Array.from(x));

Deno.test("FakeQuantize.forward() gives what quantizing and dequantizing gives", () => {
  fc.assert(fc.property(values, values, (calibration, data) => {
    const fake = new FakeQuantize({ observer: MinMaxObserver.withArgs({}) });
    fake.observe(calibration);
    fake.observerEnabled = false;
    const qparams = fake.observer.calculateQParams() as ReturnType<
      MinMaxObserver["calculateQParams"]
    >;
    const q = new Uint8Array(data.length);
    const expected = new Float32Array(data.length);
    quantizePerTensor(data, q, qparams);
    dequantizePerTensor(q, expected, qparams.scale, qparams.zeroPoint);
    const made = fake.forward(data);
    // The sign of zero aside: -0 * scale against 0 * scale.
    made.forEach((y, i) => assert(y === expected[i], `${y}, not ${expected[i]}`));
    // What is on the grid already stays.
    fake.forward(made).forEach((y, i) =>
      assertStrictEquals(Math.abs(y - made[i]!) < qparams.scale / 2, true)
    );
  }));
});

Deno.test("FakeQuantize.forward() gives each channel what a fake quantizer of its own gives", () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 3, 7), fc.constantFrom(0, 1), fc.nat(), (size, chAxis, seed) => {
      const shape = [size, 3];
      const data = Float32Array.from({ length: size * 3 }, (_, i) => Math.sin(seed + i) * 9);
      const options = { dtype: "qint8", chAxis, qscheme: "perChannelSymmetric" } as const;
      const fake = new FakeQuantize({ observer: PerChannelMinMaxObserver.withArgs(options) });
      const made = fake.forward(data, shape);
      const inner = chAxis === 0 ? 3 : 1;
      for (let channel = 0; channel < shape[chAxis]!; channel++) {
        const own = (x: Float32Array) =>
          x.filter((_, i) => Math.floor(i / inner) % shape[chAxis]! === channel);
        const one = new FakeQuantize({
          observer: MinMaxObserver.withArgs({ dtype: "qint8", qscheme: "perTensorSymmetric" }),
        });
        assertEquals(own(made), one.forward(own(data)));
      }
    }),
  );
});

Deno.test("FakeQuantize clamps to a reduced range, as torch does", () => {
  const fake = new FakeQuantize({ observer: MinMaxObserver.withArgs({ reduceRange: true }) });
  fake.observe(Float32Array.of(0, 127));
  fake.observerEnabled = false;
  assertEquals([...fake.forward(Float32Array.of(5, 200))], [5, 127]);
});

Deno.test("FakeQuantize with float zero points rounds with them inside", () => {
  const fake = new FakeQuantize({
    observer: PerChannelMinMaxObserver.withArgs({ qscheme: "perChannelAffineFloatQParams" }),
  });
  const made = fake.forward(Float32Array.of(2, 3, 4), [1, 3]);
  const scale = f(2 / 255);
  made.forEach((y, i) => assert(Math.abs(y - (2 + i)) <= scale / 2 + 1e-6));
});

Deno.test("FakeQuantize obeys its switches", () => {
  const fake = new FakeQuantize({
    observer: HistogramObserver.withArgs({ bins: 8 }),
    fakeQuantEnabled: false,
  });
  const x = Float32Array.of(0.1, 0.7);
  const y = fake.forward(x);
  assertEquals(y, x);
  assert(y !== x);
  assertEquals([fake.seen, fake.minVal, fake.maxVal], [true, f(0.1), f(0.7)]);
  fake.observerEnabled = false;
  fake.forward(Float32Array.of(9));
  assertEquals(fake.maxVal, f(0.7));
  fake.reset();
  fake.fakeQuantEnabled = true;
  assertThrows(() => fake.forward(x), RangeError, "never observed data");
});

Deno.test("FakeQuantize.forward() refuses what is no data, and stays as it was", () => {
  const fake = new FakeQuantize({ observer: MinMaxObserver.withArgs({}) });
  fake.forward(Float32Array.of(-1, 1));
  assertThrows(() => fake.forward(Float32Array.of(NaN)), RangeError, "data[0]");
  assertThrows(() => fake.forward([1] as never), TypeError, "data: expected a Float32Array");
  assertThrows(
    () => fake.forward(Float32Array.of(1), [2]),
    RangeError,
    "data: expected 2 elements",
  );
  assertEquals([fake.minVal, fake.maxVal], [-1, 1]);
  const channels = new FakeQuantize({ observer: PerChannelMinMaxObserver.withArgs({}) });
  channels.forward(Float32Array.of(1, 2), [2, 1]);
  channels.observerEnabled = false;
  assertThrows(() => channels.forward(Float32Array.of(1, 2)), TypeError, "shape");
  assertThrows(
    () => channels.forward(Float32Array.of(1, 2), [1, 2]),
    RangeError,
    "shape[0]: expected 2 channels",
  );
});

Deno.test("FakeQuantize() refuses observers without parameters, and unknown options", () => {
  assertThrows(
    () => new FakeQuantize({ observer: PlaceholderObserver.withArgs({}) }),
    TypeError,
    "with a dtype",
  );
  assertThrows(
    () => new FakeQuantize({ observer: FakeQuantize.withArgs({}) }),
    TypeError,
    "with a dtype",
  );
  assertThrows(() => new FakeQuantize({ observer: (() => 1) as never }), TypeError, "a factory");
  assertThrows(() => new FakeQuantize({ enabled: true } as never), TypeError, "option");
  const fixed = new FakeQuantize({
    observer: FixedQParamsObserver.withArgs({ scale: 0.5, zeroPoint: 1 }),
  });
  assertEquals([...fixed.forward(Float32Array.of(-9, 0.3, 0.2))], [-0.5, 0.5, 0]);
});
