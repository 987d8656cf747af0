import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { checkFinite } from "../../src/core/errors.ts";

Deno.test("checkFinite() names the first value that is not finite, wherever it stands, in any array", () => {
  const value = fc.oneof(
    { weight: 8, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
    fc.constantFrom(NaN, Infinity, -Infinity, -0, 3.4028234663852886e38, 1e-45),
  );
  fc.assert(fc.property(fc.array(value, { maxLength: 13 }), fc.boolean(), (values, typed) => {
    const data = typed ? Float32Array.from(values) : values;
    const at = values.findIndex((x) => !Number.isFinite(x));
    if (at < 0) assertEquals(checkFinite("x", data), undefined);
    else {assertThrows(
        () => checkFinite("x", data),
        RangeError,
        `x[${at}]: expected a finite number, got ${values[at]}`,
      );}
  }));
});
