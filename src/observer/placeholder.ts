/**
 * The observer of values that are not quantized.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import { Observer } from "./observer.ts";

/**
 * Marks a value as not quantized: it observes nothing and has no parameters.
 * torch.ao.quantization.PlaceholderObserver with dtype float32.
 *
 * @example
 * ```ts
 * import { PlaceholderObserver } from "@splitgate/splitgate/qconfig";
 * import { assertThrows } from "@std/assert";
 * assertThrows(() => new PlaceholderObserver().calculateQParams(), TypeError, "not quantized");
 * ```
 */
export class PlaceholderObserver extends Observer {
  /** `"PlaceholderObserver"`. */
  override readonly kind: string = "PlaceholderObserver";
  /** undefined: the value stays float32. */
  override readonly dtype: undefined = undefined;

  /**
   * Takes no options; the parameter is there for `withArgs({})`.
   *
   * @throws {TypeError} If there is an option: the class takes none.
   */
  constructor(options: Record<never, never> = {}) {
    super();
    checkOptions("options", options, []);
  }

  /** Does nothing, whatever the data. */
  override observe(): void {}

  /** Does nothing. */
  protected override update(): void {}

  /**
   * Always throws: there are no parameters.
   *
   * @throws {TypeError} Always: a value with a placeholder is not quantized.
   */
  override calculateQParams(): never {
    throw new TypeError(
      "PlaceholderObserver: has no quantization parameters; what it stands for is not quantized",
    );
  }

  /** Always false. */
  override get seen(): boolean {
    return false;
  }
}
