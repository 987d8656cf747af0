import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { dtypeRange, newQArray } from "../../src/core/dtype.ts";
import { calculateQParams } from "../../src/observer/observer.ts";
import {
  FixedQParamsObserver,
  HistogramObserver,
  MinMaxObserver,
  MovingAverageMinMaxObserver,
  MovingAveragePerChannelMinMaxObserver,
  type Observer,
  type ObserverOptions,
  PerChannelMinMaxObserver,
  PlaceholderObserver,
} from "@splitgate/splitgate/qconfig";
import type { PerTensorQParams } from "../../src/core/qparams.ts";

const f = Math.fround;
const DATA = Float32Array.of(-1.5, 0.25, 3, 0, 0.5, -0.125);
const SHAPE = [2, 3];

/** Every observer that keeps something, new. */
const MAKERS: readonly [name: string, make: () => Observer][] = [
  ["MinMaxObserver", () => new MinMaxObserver()],
  [
    "MovingAverageMinMaxObserver",
    () => new MovingAverageMinMaxObserver({ averagingConstant: 0.5 }),
  ],
  ["PerChannelMinMaxObserver", () => new PerChannelMinMaxObserver({ chAxis: 1 })],
  [
    "MovingAveragePerChannelMinMaxObserver",
    () => new MovingAveragePerChannelMinMaxObserver({ averagingConstant: 0.5, chAxis: 1 }),
  ],
  ["HistogramObserver", () => new HistogramObserver({ bins: 16 })],
];

/** All that an observer knows, to compare. */
function stateOf(observer: Observer): unknown {
  return [
    observer.seen,
    observer.minVal,
    observer.maxVal,
    observer instanceof HistogramObserver ? observer.histogram : null,
    observer.seen ? observer.calculateQParams() : null,
  ];
}

const floats = (min: number, max: number) => fc.float({ noNaN: true, min: f(min), max: f(max) });
const someFloats = fc.array(floats(-1e6, 1e6), { minLength: 1, maxLength: 33 }).map((x) =>
  Float32Array.from(x)
);
/** Options of per-tensor observers that are valid together. */
const someOptions: fc.Arbitrary<ObserverOptions> = fc.oneof(
  fc.record({
    dtype: fc.constantFrom("quint8", "qint8", "qint32"),
    qscheme: fc.constantFrom("perTensorAffine", "perTensorSymmetric"),
  }),
  fc.constantFrom<ObserverOptions>(
    { dtype: "quint8", reduceRange: true },
    { dtype: "qint8", reduceRange: true, qscheme: "perTensorSymmetric" },
    { dtype: "quint8", quantMin: 0, quantMax: 15 },
    { dtype: "qint8", quantMin: -8, quantMax: 7 },
    { dtype: "qint32", quantMin: 0, quantMax: 65535 },
    { dtype: "qint32", quantMin: -32768, quantMax: 32767, qscheme: "perTensorSymmetric" },
    { dtype: "quint8", eps: 0.01 },
  ),
);

for (const [name, make] of MAKERS) {
  Deno.test(`${name}.observe() refuses what is no data, and stays as it was`, () => {
    for (const before of [[], [DATA]]) {
      const observer = make();
      for (const data of before) observer.observe(data, SHAPE);
      const state = stateOf(observer);
      const refused = (
        kind: typeof TypeError | typeof RangeError,
        message: string,
        ...args: unknown[]
      ) => {
        assertThrows(() => observer.observe(...args as [Float32Array]), kind, message);
        assertEquals(stateOf(observer), state);
      };
      refused(TypeError, "data: expected a Float32Array, got [1, 2]", [1, 2]);
      refused(TypeError, "data: expected a Float32Array", new Float64Array(6), SHAPE);
      refused(TypeError, "data: expected a Float32Array, got undefined");
      refused(TypeError, "shape: expected an array of integers", DATA, "2,3");
      refused(RangeError, "data: expected 8 elements for shape [2, 4], got 6", DATA, [2, 4]);
      refused(RangeError, "shape[1]: expected an integer", DATA, [4, 1.5]);
      for (const value of [NaN, Infinity, -Infinity]) {
        const data = DATA.slice();
        data[4] = value;
        refused(RangeError, `data[4]: expected a finite number, got ${value}`, data, SHAPE);
      }
    }
  });

  Deno.test(`${name}.observe() changes nothing when the data is empty`, () => {
    const observer = make();
    observer.observe(new Float32Array(0), [0, 3]);
    assertEquals(observer.seen, false);
    observer.observe(DATA, SHAPE);
    const state = stateOf(observer);
    observer.observe(new Float32Array(0), [0, 3]);
    assertEquals(stateOf(observer), state);
  });

  Deno.test(`${name}.calculateQParams() refuses when nothing was observed, unless that is allowed`, () => {
    const observer = make();
    assertThrows(
      () => observer.calculateQParams(),
      RangeError,
      `${name}: never observed data; run calibration first`,
    );
    const qparams = observer.calculateQParams({ allowUnseen: true });
    if ("scale" in qparams) assertEquals([qparams.scale, qparams.zeroPoint], [1, 0]);
    else assertEquals([[...qparams.scales], [...qparams.zeroPoints]], [[1], [0]]);
  });

  Deno.test(`${name}.reset() forgets everything`, () => {
    const observer = make();
    const fresh = stateOf(observer);
    observer.observe(DATA, SHAPE);
    observer.reset();
    assertEquals(stateOf(observer), fresh);
  });

  Deno.test(`${name}() refuses options that are unknown or wrong`, () => {
    const kind = make().constructor as new (options: unknown) => Observer;
    assertThrows(
      () => new kind({ scale: 1 }),
      TypeError,
      "options: expected no options but dtype, ",
    );
    assertThrows(() => new kind(null), TypeError, "options: expected an object of dtype, ");
    assertThrows(
      () => new kind({ dtype: "int16" }),
      TypeError,
      "for 16 bits: qint32 with quantMin and quantMax",
    );
    assertThrows(() => new kind({ qscheme: "affine" }), RangeError, "qscheme: expected ");
    assertThrows(() => new kind({ reduceRange: 1 }), TypeError, "reduceRange: expected a boolean");
    assertThrows(() => new kind({ eps: 0 }), RangeError, "eps: expected a number above 0");
    assertThrows(
      () => new kind({ eps: 1e-300 }),
      RangeError,
      "eps: expected a number that float32 can tell from 0",
    );
    assertThrows(
      () => new kind({ quantMin: 0 }),
      TypeError,
      "quantMax: expected both ends of a custom range",
    );
    assertThrows(
      () => new kind({ quantMin: 0, quantMax: 256 }),
      RangeError,
      "quantMax: expected an integer in 0..255",
    );
    assertThrows(
      () => new kind({ quantMin: 7, quantMax: 7 }),
      RangeError,
      "quantMax: expected an integer above",
    );
    assertThrows(
      () => new kind({ quantMin: 1, quantMax: 9 }),
      RangeError,
      "quantMin: expected a range that contains 0",
    );
  });

  Deno.test(`${name}.withArgs() makes observers that share nothing`, () => {
    const kind = make().constructor as unknown as typeof MinMaxObserver;
    const factory = kind.withArgs({ quantMin: 0, quantMax: 15 });
    const a = factory();
    const b = factory();
    a.observe(DATA, SHAPE);
    assertEquals([factory.observerName, a.seen, b.seen, b.quantMax], [name, true, false, 15]);
    assertThrows(() => kind.withArgs({ quantMin: 3 } as never), TypeError);
  });

  Deno.test(`${name}.withArgs() names the class when an argument is wrong`, () => {
    const kind = make().constructor as unknown as { withArgs(options: unknown): unknown };
    const at = `${name}.withArgs: `;
    assertThrows(
      () => kind.withArgs({ dtype: "int16" }),
      TypeError,
      `${at}dtype: expected quint8,qint8,qint32`,
    );
    assertThrows(
      () => kind.withArgs({ eps: 0 }),
      RangeError,
      `${at}eps: expected a number above 0`,
    );
    assertThrows(
      () => kind.withArgs({ scale: 1 }),
      TypeError,
      `${at}options: expected no options but dtype, `,
    );
    for (const options of [null, undefined, "int16"]) {
      assertThrows(
        () => kind.withArgs(options),
        TypeError,
        `${at}options: expected an object of options`,
      );
    }
  });
}

Deno.test("MinMaxObserver does not depend on how the data is cut into batches", () => {
  fc.assert(fc.property(someFloats, fc.nat(33), someOptions, (data, at, options) => {
    const whole = new MinMaxObserver(options);
    const parts = new MinMaxObserver(options);
    whole.observe(data);
    parts.observe(data.subarray(at));
    parts.observe(data.subarray(0, at));
    assertEquals(parts.calculateQParams(), whole.calculateQParams());
    assertEquals([whole.minVal, whole.maxVal], [Math.min(...data), Math.max(...data)]);
    assertEquals(calculateQParams(whole.minVal, whole.maxVal, options), whole.calculateQParams());
  }));
});

Deno.test("MinMaxObserver's parameters hold 0 exactly and every observed value within one step", () => {
  fc.assert(fc.property(someFloats, someOptions, (data, options) => {
    const observer = new MinMaxObserver(options);
    observer.observe(data);
    const { scale, zeroPoint, quantMin, quantMax } = observer.calculateQParams();
    assert(quantMin <= zeroPoint && zeroPoint <= quantMax);
    if (quantMax - quantMin > 65535) return; // float32 does not resolve the steps of 32 bits
    const q = newQArray(options.dtype!, data.length);
    quantizePerTensor(data, q, { scale, zeroPoint, quantMin, quantMax });
    // Half a step of rounding, half a step by which the zero point's own rounding moves the ends.
    data.forEach((x, i) =>
      assert(Math.abs(x - scale * (q[i]! - zeroPoint)) <= scale * 1.001, `${x} ${q[i]} ${scale}`)
    );
  }));
});

Deno.test("MinMaxObserver gives torch's zero point when symmetric", () => {
  for (
    const [options, expected] of [
      [{ dtype: "quint8" }, 128],
      [{ dtype: "quint8", quantMin: 0, quantMax: 127 }, 63],
      [{ dtype: "qint8" }, 0],
      [{ dtype: "qint8", quantMin: -3, quantMax: 100 }, 0],
      [{ dtype: "qint32" }, 0],
    ] as const
  ) {
    const observer = new MinMaxObserver({ ...options, qscheme: "perTensorSymmetric" });
    observer.observe(DATA);
    assertEquals(observer.calculateQParams().zeroPoint, expected);
  }
});

Deno.test("reduceRange halves the range that values are spread over, not the one that integers may use", () => {
  for (
    const [options, spread] of [
      [{ dtype: "quint8" }, [0, 127]],
      [{ dtype: "qint8" }, [-64, 63]],
      [{ dtype: "qint32" }, dtypeRange("qint32")],
      [{ dtype: "qint8", quantMin: -127, quantMax: 127 }, [-64, 63]],
    ] as const
  ) {
    const whole = new MinMaxObserver(options);
    const reduced = new MinMaxObserver({ ...options, reduceRange: true });
    whole.observe(DATA);
    reduced.observe(DATA);
    const a = whole.calculateQParams();
    const b = reduced.calculateQParams();
    assertEquals([reduced.quantMin, reduced.quantMax], [...spread]);
    assertEquals([b.quantMin, b.quantMax], [a.quantMin, a.quantMax]);
    const ratio = (a.quantMax - a.quantMin) / (spread[1] - spread[0]);
    assertAlmostEquals(b.scale / a.scale, ratio, 1e-6);
    assertEquals(
      calculateQParams(reduced.minVal, reduced.maxVal, { ...options, reduceRange: true }),
      reduced.calculateQParams(),
    );
  }
  assertThrows(
    () => new MinMaxObserver({ qscheme: "perTensorSymmetric", reduceRange: true }),
    RangeError,
    "reduceRange: expected false for symmetric quint8",
  );
  assertThrows(
    () => new MinMaxObserver({ quantMin: 0, quantMax: 1, reduceRange: true }),
    RangeError,
    "wider than one integer when halved",
  );
});

Deno.test("MovingAverageMinMaxObserver steps in float32 from the first tensor's range", () => {
  fc.assert(fc.property(
    fc.array(someFloats, { minLength: 1, maxLength: 5 }),
    fc.constantFrom(0.01, 0.1, 0.5, 1),
    (batches, averagingConstant) => {
      const observer = new MovingAverageMinMaxObserver({ averagingConstant });
      let min = NaN;
      let max = NaN;
      for (const data of batches) {
        observer.observe(data);
        const lowest = Math.min(...data);
        const highest = Math.max(...data);
        const next = (old: number, now: number) => f(old + f(f(averagingConstant) * f(now - old)));
        [min, max] = Number.isNaN(min)
          ? [lowest, highest]
          : [next(min, lowest), next(max, highest)];
      }
      assertStrictEquals(observer.minVal, min);
      assertStrictEquals(observer.maxVal, max);
    },
  ));
  for (const averagingConstant of [0, 1.1, NaN]) {
    assertThrows(
      () => new MovingAverageMinMaxObserver({ averagingConstant }),
      RangeError,
      "averagingConstant",
    );
  }
});

Deno.test("MovingAverageMinMaxObserver.observe() refuses a distance that float32 cannot hold, and stays as it was", () => {
  for (
    const observer of [
      new MovingAverageMinMaxObserver(),
      new MovingAveragePerChannelMinMaxObserver(),
    ]
  ) {
    observer.observe(Float32Array.of(3e38, 3e38), [1, 2]);
    assertThrows(
      () => observer.observe(Float32Array.of(-3e38, 3e38), [1, 2]),
      RangeError,
      "float32 can hold",
    );
    assertEquals([observer.minVal].flat().map(Number), [f(3e38)]);
  }
});

Deno.test("per-channel observers give each channel what a whole-tensor observer gives its slice", () => {
  const shapes = fc.array(fc.constantFrom<number>(1, 3, 7), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(shapes, fc.nat(3), fc.infiniteStream(floats(-100, 100)), (shape, axis, stream) => {
      const chAxis = axis % shape.length;
      const size = shape.reduce((a, b) => a * b, 1);
      const batches = [0, 1].map(() =>
        Float32Array.from({ length: size }, () => stream.next().value!)
      );
      const inner = shape.slice(chAxis + 1).reduce((a, b) => a * b, 1);
      const averagingConstant = 0.25;
      const minMax = new PerChannelMinMaxObserver({ chAxis });
      const average = new MovingAveragePerChannelMinMaxObserver({ chAxis, averagingConstant });
      for (const data of batches) {
        minMax.observe(data, shape);
        average.observe(data, shape);
      }
      for (let channel = 0; channel < shape[chAxis]!; channel++) {
        const one = new MinMaxObserver();
        const oneAverage = new MovingAverageMinMaxObserver({ averagingConstant });
        for (const data of batches) {
          const slice = data.filter((_, i) => Math.floor(i / inner) % shape[chAxis]! === channel);
          one.observe(slice);
          oneAverage.observe(slice);
        }
        for (const [many, single] of [[minMax, one], [average, oneAverage]] as const) {
          const { scales, zeroPoints } = many.calculateQParams();
          const { scale, zeroPoint } = single.calculateQParams();
          assertEquals([scales[channel], zeroPoints[channel]], [scale, zeroPoint]);
          assertEquals([many.minVal[channel], many.maxVal[channel]], [
            single.minVal,
            single.maxVal,
          ]);
        }
      }
    }),
  );
});

Deno.test("per-channel observers refuse shapes without the channels, and stay as they were", () => {
  for (const make of [PerChannelMinMaxObserver, MovingAveragePerChannelMinMaxObserver]) {
    const observer = new make({ chAxis: 1 });
    observer.observe(DATA, SHAPE);
    const state = stateOf(observer);
    assertThrows(() => observer.observe(DATA), TypeError, "shape: expected the shape");
    assertThrows(
      () => observer.observe(DATA, [6]),
      RangeError,
      "shape: expected 2 or more dimensions",
    );
    assertThrows(
      () => observer.observe(DATA, [3, 2]),
      RangeError,
      "shape[1]: expected 3 channels as before, got 2",
    );
    assertEquals(stateOf(observer), state);
    assertThrows(() => new make({ chAxis: 8 }), RangeError, "chAxis");
    assertThrows(() => new make({ qscheme: "perTensorAffine" }), RangeError, "qscheme");
  }
});

Deno.test("calculateFloatQParams() spans each channel's own range, with 1 where there is none", () => {
  const observer = new PerChannelMinMaxObserver({ qscheme: "perChannelAffineFloatQParams" });
  observer.observe(Float32Array.of(2, 4, 3, 3), [2, 2]);
  const { scales, zeroPoints } = observer.calculateFloatQParams();
  assertEquals([...scales], [f(2 / 255), 1]);
  assertEquals([...zeroPoints], [f(-2 / f(2 / 255)), -3]);
  assertThrows(() => observer.calculateQParams(), RangeError, "calculateFloatQParams");
  assertThrows(() => new PerChannelMinMaxObserver().calculateFloatQParams(), RangeError, "qscheme");
});

Deno.test("setRange() gives what observing the range's ends gives, and refuses what is no range", () => {
  fc.assert(fc.property(someFloats, someOptions, (data, options) => {
    for (const make of [MinMaxObserver, MovingAverageMinMaxObserver]) {
      const observed = new make(options);
      const set = new make(options);
      observed.observe(data);
      set.setRange(observed.minVal, observed.maxVal);
      assertEquals(set.calculateQParams(), observed.calculateQParams());
    }
  }));
  const observer = new MinMaxObserver();
  observer.setRange(-1, 1);
  assertThrows(
    () => observer.setRange(2, 1),
    RangeError,
    "max: expected a number not below min 2, got 1",
  );
  assertThrows(
    () => observer.setRange(NaN, 1),
    RangeError,
    "min: expected a finite float32 value, got NaN",
  );
  assertThrows(
    () => observer.setRange(0, 1e39),
    RangeError,
    "max: expected a finite float32 value",
  );
  assertThrows(
    () => observer.setRange("0" as never, 1),
    TypeError,
    "min: expected a finite number",
  );
  assertEquals([observer.minVal, observer.maxVal], [-1, 1]);
  const channels = new PerChannelMinMaxObserver();
  channels.setRange([-1, 0], [1, 2]);
  assertThrows(() => channels.setRange([0], [1, 2]), RangeError, "as many as min");
  assertThrows(
    () => channels.setRange([0, 3], [1, 2]),
    RangeError,
    "max[1]: expected a number not below min 3",
  );
  assertThrows(() => channels.setRange(0 as never, 1 as never), TypeError, "one number a channel");
  assertEquals([...channels.minVal], [-1, 0]);
  assertThrows(() => new HistogramObserver().setRange(), TypeError, "use setState");
  assertThrows(
    () => new FixedQParamsObserver({ scale: 1, zeroPoint: 0 }).setRange(0, 1),
    TypeError,
    "no range to set",
  );
});

Deno.test("minVal of a per-channel observer is a copy", () => {
  const observer = new PerChannelMinMaxObserver();
  observer.observe(DATA, SHAPE);
  observer.minVal.fill(0);
  assertEquals([...observer.minVal], [-1.5, -0.125]);
});

Deno.test("FixedQParamsObserver gives what it was made with, whatever it observes", () => {
  const options = {
    dtype: "qint32",
    scale: 0.1,
    zeroPoint: -5,
    quantMin: -32768,
    quantMax: 32767,
  } as const;
  const observer = new FixedQParamsObserver(options);
  assertEquals([observer.seen, observer.calculateQParams()], [true, { ...options, scale: f(0.1) }]);
  observer.observe(DATA);
  observer.reset();
  assertEquals(observer.calculateQParams(), { ...options, scale: f(0.1) });
  assertThrows(() => observer.observe(Float32Array.of(NaN)), RangeError, "data[0]");
  const refused = (options: unknown, kind: typeof TypeError | typeof RangeError, message: string) =>
    assertThrows(() => new FixedQParamsObserver(options as never), kind, message);
  refused(
    { scale: 0, zeroPoint: 0 },
    RangeError,
    "scale: expected a positive float32 value with a finite reciprocal, got 0",
  );
  refused({ scale: 1e-60, zeroPoint: 0 }, RangeError, "scale");
  refused({ zeroPoint: 0 }, TypeError, "scale");
  refused(
    { scale: 1, zeroPoint: 256 },
    RangeError,
    "zeroPoint: expected an integer in 0..255, got 256",
  );
  refused({ scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 0 }, RangeError, "quantMax");
  refused({ scale: 1, zeroPoint: 0, bits: 8 }, TypeError, "option");
  refused({ scale: 1, zeroPoint: 0, qscheme: "perChannelAffine" }, RangeError, "qscheme");
});

Deno.test("PlaceholderObserver observes nothing and has no parameters", () => {
  const observer = new PlaceholderObserver();
  observer.observe();
  observer.reset();
  assertEquals([observer.seen, observer.dtype, observer.minVal], [false, undefined, undefined]);
  assertThrows(() => observer.calculateQParams(), TypeError, "not quantized");
  assertThrows(() => new PlaceholderObserver({ dtype: "quint8" } as never), TypeError, "option");
});

Deno.test("calculateQParams() refuses what is no range", () => {
  assertThrows(() => calculateQParams(1, 0), RangeError, "max");
  assertThrows(() => calculateQParams(NaN, 0), RangeError, "min");
  assertThrows(
    () => calculateQParams(0, 1, { qscheme: "perChannelAffine" }),
    RangeError,
    "qscheme",
  );
  assertThrows(() => calculateQParams(-3e38, 3e38), RangeError, "scale");
  const all = calculateQParams(0, 0) as PerTensorQParams;
  assertEquals([all.scale, all.zeroPoint], [2 ** -23, 0]);
});
